"""Files and weights: none is half written, and none is accepted that does not fit.

Each error is one sentence.
"""

import errno
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest

from diffusion_lab import storage
from diffusion_lab.errors import UserError
from diffusion_lab.models.config import ModelConfig
from diffusion_lab.models.io import load_model, save_model
from diffusion_lab.models.weights import SHIPPED, read_arrays, write_arrays
from diffusion_lab.storage import demand_writable, only_one, replacing, write_atomically


def test_arrays_and_description_are_read_back_in_order(tmp_path):
    arrays = [np.full((2, 3), number, "float32") for number in range(12)] + [
        np.arange(4, dtype="uint32")
    ]
    write_arrays(tmp_path / "file.h5", {"group": arrays}, {"name": "ü", "list": [1, 2]})
    groups, about = read_arrays(tmp_path / "file.h5")
    assert about == {"name": "ü", "list": [1, 2]}
    for found, written in zip(groups["group"], arrays, strict=True):
        np.testing.assert_array_equal(found, written)
        assert found.dtype == written.dtype


@pytest.mark.parametrize(
    "call, error",
    [
        ("fsync", OSError(errno.ENOSPC, "No space left on device")),
        ("replace", OSError(errno.EROFS, "Read-only file system")),
    ],
)
def test_a_full_or_read_only_disk_leaves_the_old_file_and_no_draft(
    tmp_path, monkeypatch, call, error
):
    write_atomically(tmp_path / "file", b"old")

    def fail(*arguments):
        raise error

    monkeypatch.setattr(storage.os, call, fail)
    with pytest.raises(UserError, match=f"{error.strerror}.*untouched"):
        write_atomically(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]


def test_two_writers_of_one_file_do_not_interfere(tmp_path, monkeypatch):
    """The second writes from beginning to end while the first is about to finish."""
    sync, seen = os.fsync, []

    def interrupted(descriptor):
        monkeypatch.setattr(storage.os, "fsync", sync)
        write_atomically(tmp_path / "file", b"second")
        seen.append((tmp_path / "file").read_bytes())
        sync(descriptor)

    monkeypatch.setattr(storage.os, "fsync", interrupted)
    write_atomically(tmp_path / "file", 1000 * b"first")
    assert seen == [b"second"] and (tmp_path / "file").read_bytes() == 1000 * b"first"
    assert os.listdir(tmp_path) == ["file"]


def test_old_drafts_are_removed_and_young_ones_are_not(tmp_path):
    old, young, other = (tmp_path / name for name in (".draft-1-file", ".draft-2-file", "draft-3"))
    for path in (old, young, other):
        path.touch()
    for path in (old, other):
        os.utime(path, (1e9, 1e9))
    write_atomically(tmp_path / "file", b"new")
    assert {path.name for path in tmp_path.iterdir()} == {"file", ".draft-2-file", "draft-3"}


def test_a_failure_during_writing_leaves_the_old_file(tmp_path):
    """This includes files that another library writes, such as Keras, which needs the suffix."""
    write_atomically(tmp_path / "a.weights.h5", b"old")
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "a.weights.h5") as draft:
        assert draft.name.endswith(".weights.h5") and draft.parent == tmp_path
        draft.write_bytes(b"half of it")
        1 / 0
    assert (tmp_path / "a.weights.h5").read_bytes() == b"old" and os.listdir(tmp_path) == [
        "a.weights.h5"
    ]


def test_a_folder_is_used_by_one_at_a_time(tmp_path):
    with only_one(tmp_path / "out", "training"):
        with (
            pytest.raises(
                UserError, match="Another training is running in .*out: wait until it has finished"
            ),
            only_one(str(tmp_path / "out"), "training"),
        ):
            pass
        with only_one(tmp_path / "out", "grading"), only_one(tmp_path / "other", "training"):
            pass
    with only_one(tmp_path / "out", "training"):
        pass
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match="choose another folder"),
        only_one(tmp_path / "file", "training"),
    ):
        pass


def test_a_folder_is_free_again_when_its_process_is_killed(tmp_path):
    code = (
        "import sys, time; from diffusion_lab.storage import only_one\nwith only_one(sys.argv[1],"
        " 'grading'): print(flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        with pytest.raises(UserError, match="Another grading"), only_one(tmp_path, "grading"):
            pass
        process.kill()
    with only_one(tmp_path, "grading"):
        pass


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_bytes(b"in the way")
    with pytest.raises(UserError, match="choose another folder"):
        write_atomically(tmp_path / "file" / "below", b"new")


def test_a_read_only_folder_is_found_before_a_long_computation(tmp_path, monkeypatch):
    demand_writable(tmp_path / "new" / "samples.png", ".png")
    # for root, every folder is writable
    monkeypatch.setattr(storage.os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(UserError, match="Could not write to .* choose another folder"):
        demand_writable(tmp_path / "new" / "samples.png", ".png")


@pytest.fixture
def saved(tiny_config, tmp_path):
    model = tiny_config.build(seed=0)
    model.adapt(np.random.default_rng(0).random((16, 8, 8, 3), "float32"))
    for weight in model.ema_network.weights:
        weight.assign(weight + 0.05)
    path = tmp_path / "model.weights.h5"
    save_model(model, path, {"data": "a test"})
    return model, path


def test_a_loaded_model_samples_like_the_saved_one(saved):
    model, path = saved
    loaded, origin = load_model(path)
    assert origin == {"data": "a test"} and loaded.config.network_arguments["image_size"] == 8
    np.testing.assert_allclose(
        loaded.generate(2, 3, seed=1), model.generate(2, 3, seed=1), atol=2e-3
    )
    assert loaded.ema_network is loaded.network, "one network is enough"


def test_a_loaded_model_gets_an_average_of_its_own_when_it_is_trained(saved):
    loaded, _ = load_model(saved[1])
    before, weights = loaded.generate(2, 3, seed=1), loaded.network.get_weights()
    loaded.compile("sgd", "mse", jit_compile=False)
    np.testing.assert_allclose(loaded.generate(2, 3, seed=1), before, atol=1e-6)
    loaded.network.weights[0].assign_add(1 + 0 * loaded.network.weights[0])
    loaded.compute_loss(y_pred=loaded(np.zeros((2, 8, 8, 3), "float32")))
    raw, averaged = loaded.network.get_weights()[0], loaded.ema_network.get_weights()[0]
    np.testing.assert_allclose(raw, weights[0] + 1, atol=1e-6)
    np.testing.assert_allclose(averaged, weights[0] + 0.9, atol=1e-6)  # the first decay is 1 / 10
    sampled = loaded.generate(2, 3, seed=1)
    loaded.ema_network.weights[0].assign(weights[0])
    assert not np.allclose(sampled, before) and np.allclose(
        loaded.generate(2, 3, seed=1), before, atol=1e-6
    ), "samples come from the average"


def test_every_damage_to_a_weights_file_is_one_sentence(saved, tmp_path):
    model, path = saved
    whole = path.read_bytes()
    damaged = tmp_path / "damaged.weights.h5"
    contents = {"truncated": whole[: len(whole) // 2], "text": b"not weights at all", "empty": b""}
    for content in contents.values():
        damaged.write_bytes(content)
        with pytest.raises(UserError, match="damaged or not a weights file"):
            load_model(damaged)
    with pytest.raises(UserError, match="no weights file"):
        load_model(tmp_path / "missing.weights.h5")
    with h5py.File(damaged, "w") as file:
        file["layers"] = [1.0]
    with pytest.raises(UserError, match="another program"):
        load_model(damaged)


def test_weights_of_another_architecture_are_refused_and_change_nothing(saved, tmp_path):
    _, path = saved
    groups, about = read_arrays(path)
    about["config"]["network_arguments"]["width"] = 12
    write_arrays(path, groups, about)
    with pytest.raises(UserError, match="another architecture"):
        load_model(path)


@pytest.mark.parametrize(
    "config",
    [
        {"something": "else"},
        {"network": "plain_cnn", "network_arguments": None},
        {"network": "plain_cnn", "network_arguments": {"channels": -1}},
    ],
)
def test_a_description_of_no_model_is_refused(config, tmp_path):
    write_arrays(tmp_path / "model.weights.h5", {}, {"config": config})
    with pytest.raises(UserError, match="does not describe"):
        load_model(tmp_path / "model.weights.h5")


def test_keras_weights_load_in_a_fresh_model_without_building(tiny_config, tmp_path):
    model, fresh = tiny_config.build(seed=0), tiny_config.build(seed=1)
    model.save_weights(tmp_path / "keras.weights.h5")
    fresh.load_weights(tmp_path / "keras.weights.h5")
    for one, other in zip(model.network.get_weights(), fresh.network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_error_for_an_unknown_network_lists_the_networks():
    with pytest.raises(UserError, match="residual_unet"):
        ModelConfig(network="transformer").build()


def test_shipped_files_are_small():
    files = list(SHIPPED.glob("*.h5"))
    assert files and sum(file.stat().st_size for file in files) < 24e6
    assert max(file.stat().st_size for file in files) < 5e6


def test_rounded_weights_differ_by_half_a_step_of_their_channel(tmp_path):
    kernel = np.random.default_rng(0).normal(size=(3, 3, 128, 4)) * [0.01, 1, 100, 0]
    bias = np.array([0.5, -2.0, 1 / 3])
    path = tmp_path / "file.h5"
    write_arrays(path, {"network": [kernel, bias], "exact": [kernel]}, {}, rounded=["network"])
    groups, _ = read_arrays(path)
    steps = np.abs(kernel).max(axis=(0, 1, 2)) / 127
    assert np.all(np.abs(groups["network"][0] - kernel) <= 0.501 * steps)
    np.testing.assert_allclose(groups["network"][1], bias, rtol=1e-3)
    np.testing.assert_array_equal(groups["exact"][0], kernel)
    read_arrays(path, most=4 * kernel.size + 2 * bias.size + 8 * kernel.size)
    with pytest.raises(UserError, match="damaged"):  # what counts is the size in memory
        read_arrays(path, most=kernel.size + 2 * bias.size + 8 * kernel.size)


def bomb(file):
    file.create_dataset(
        "network/0001",
        shape=(2**31,),
        dtype="float32",
        chunks=(2**20,),
        compression="gzip",
        fillvalue=0,
    )


def many_links_to_one(file):
    file.create_dataset("network/0001", shape=(2**28,), dtype="uint8", chunks=(2**20,), fillvalue=0)
    for number in range(2, 20):
        file[f"network/{number:04d}"] = file["network/0001"]


def virtual(file):
    layout = h5py.VirtualLayout(shape=(4,), dtype="float32")
    layout[:] = h5py.VirtualSource("other.h5", "data", shape=(4,))
    file.create_virtual_dataset("network/0001", layout)


def put(path, value):
    return lambda file: file.__setitem__(path, value)


def scale(value):
    return lambda file: file["network/0000"].attrs.__setitem__("scale", value)


NOT_OURS = {
    "a scale for another number of channels": scale(np.ones(3, "float32")),
    "a scale in double precision": scale(np.ones(2)),
    "a scale in words": scale("large"),
    "an empty scale": scale(h5py.Empty("float32")),
    "a compressed bomb": bomb,
    "a bomb of links": many_links_to_one,
    "data in another file": virtual,
    "data in a raw file": lambda file: file.create_dataset(
        "network/0001", (4,), "float32", external=[("/etc/passwd", 0, 16)]
    ),
    "a link to another file": put("network/0001", h5py.ExternalLink("other.h5", "/data")),
    "a group in another file": put("more", h5py.ExternalLink("other.h5", "/")),
    "a soft link": put("network/0001", h5py.SoftLink("/network/0000")),
    "a loop": put("network/0001", h5py.SoftLink("/network")),
    "text": put("network/0001", "words"),
    "a group for an array": lambda file: file.create_group("network/0001"),
    "an array for a group": put("more", np.ones(3)),
    "a type": put("network/0001", np.dtype("f4")),
    "a description that is a list": lambda file: file.attrs.__setitem__("diffusion_lab", "[1]"),
    "a description that is a number": lambda file: file.attrs.__setitem__("diffusion_lab", 7),
    "a deep description": lambda file: file.attrs.__setitem__("diffusion_lab", "[" * 30_000),
}


@pytest.mark.parametrize("change", NOT_OURS.values(), ids=NOT_OURS)
def test_a_file_of_arrays_holds_plain_numbers_and_not_too_many(change, tmp_path):
    write_arrays(tmp_path / "file.h5", {"network": [np.ones(2)]}, {"a": 1})
    write_arrays(tmp_path / "other.h5", {"data": [np.ones(4)]}, {})
    with h5py.File(tmp_path / "file.h5", "a") as file:
        change(file)
    with pytest.raises(UserError, match="damaged or not a weights file"):
        read_arrays(tmp_path / "file.h5")


def test_a_limit_on_bytes_counts_all_arrays(tmp_path):
    write_arrays(tmp_path / "file.h5", {"a": [np.ones(100)] * 2, "b": [np.ones(100)]}, {})
    assert len(read_arrays(tmp_path / "file.h5", most=2400)[0]["a"]) == 2
    with pytest.raises(UserError, match="damaged or not a weights file"):
        read_arrays(tmp_path / "file.h5", most=2399)


def test_a_draft_is_not_found_by_the_suffix_of_its_file(tmp_path, monkeypatch):
    """Code that counts results counts only complete ones, even after a writer was killed."""
    seen = []
    monkeypatch.setattr(
        storage.os,
        "fsync",
        lambda descriptor: seen.extend(path.name for path in tmp_path.glob("*.json")),
    )
    write_atomically(tmp_path / "one.json", b"{}")
    assert seen == [] and [path.name for path in tmp_path.iterdir()] == ["one.json"]
