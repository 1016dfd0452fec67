"""The cache: constant memory, killed processes, races, damage and full disks."""

import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

import diffusion_lab.data.cache as cache
from diffusion_lab.data import ImageDataset, flowers, load_dataset
from diffusion_lab.errors import UserError


def two_chunks():
    yield np.full((3, 2, 2, 1), 10, "uint8"), np.array(["a", "b", "c"])
    yield np.full((1, 2, 2, 1), 20, "uint8"), np.array(["longer"])


def never():
    raise AssertionError("it is in the cache already")


def contents(images_and_labels):
    images, labels = images_and_labels
    return images[:, 0, 0, 0].tolist(), labels.tolist()


def test_a_set_is_read_once_and_then_mapped(tmp_path):
    expected = ([10, 10, 10, 20], ["a", "b", "c", "longer"])
    assert contents(cache.cached(tmp_path / "set", two_chunks)) == expected
    images, labels = cache.cached(tmp_path / "set", never)
    assert contents((images, labels)) == expected
    assert isinstance(images, np.memmap) and not images.flags.writeable
    np.testing.assert_array_equal(
        np.load(tmp_path / "set" / "images.npy", allow_pickle=False), images
    )


def test_every_argument_that_changes_the_images_has_its_own_cache(tmp_path):
    for arguments in (
        {},
        {"image_size": 9},
        {"split": "validation"},
        {"count": 3},
        {"seed": 1},
        {"batch_size": 1},
    ):
        load_dataset(
            **{
                "name": "procedural_flowers",
                "image_size": 8,
                "batch_size": 2,
                "count": 2,
                "cache_dir": tmp_path,
                **arguments,
            }
        )
    assert len(list(tmp_path.iterdir())) == 5  # the size of a batch changes no image


def test_flowers_are_drawn_again_when_their_code_changes(tmp_path, monkeypatch):
    (tmp_path / "flowers.py").write_text("# other flowers")
    for _ in range(2):
        load_dataset(
            "procedural_flowers", image_size=8, batch_size=2, count=2, cache_dir=tmp_path / "cache"
        )
        monkeypatch.setattr(flowers, "__file__", str(tmp_path / "flowers.py"))
    assert len(list((tmp_path / "cache").iterdir())) == 2


def cut_short(folder):
    os.truncate(folder / "images.npy", os.path.getsize(folder / "images.npy") - 1)


def spoil_header(folder):
    (folder / "labels.npy").write_bytes(b"this is no array")


def empty_file(folder):
    os.truncate(folder / "images.npy", 0)


def lose_file(folder):
    (folder / "labels.npy").unlink()


def other_count(folder):
    np.save(folder / "labels.npy", np.arange(3))


def objects_inside(folder):
    np.save(folder / "labels.npy", np.array([None] * 4), allow_pickle=True)


@pytest.mark.parametrize(
    "damage", [cut_short, spoil_header, empty_file, lose_file, other_count, objects_inside]
)
def test_a_damaged_set_is_built_again(damage, tmp_path):
    expected = contents(cache.cached(tmp_path / "set", two_chunks))
    damage(tmp_path / "set")
    assert contents(cache.cached(tmp_path / "set", two_chunks)) == expected
    assert contents(cache.cached(tmp_path / "set", never)) == expected
    assert os.listdir(tmp_path) == ["set"]


def test_an_error_in_the_middle_leaves_nothing(tmp_path):
    def failing():
        yield from two_chunks()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.cached(tmp_path / "set", failing)
    assert os.listdir(tmp_path) == []


def test_a_killed_process_leaves_no_set_that_looks_complete(tmp_path):
    script = f"""
import importlib.util, os, pathlib, signal, numpy as np
spec = importlib.util.spec_from_file_location("cache", {cache.__file__!r})
cache = importlib.util.module_from_spec(spec); spec.loader.exec_module(cache)
def killed():
    yield np.zeros((3, 2, 2, 1), "uint8"), np.arange(3)
    os.kill(os.getpid(), signal.SIGKILL)
cache.cached(pathlib.Path({str(tmp_path)!r}) / "set", killed)
"""
    assert subprocess.run([sys.executable, "-c", script]).returncode == -9
    [draft] = tmp_path.iterdir()
    assert draft.name.startswith("draft-")
    cache.cached(tmp_path / "set", two_chunks)
    assert draft.exists()  # its process may still be running
    os.utime(draft, (0, 0))
    cache.cached(tmp_path / "other", two_chunks)
    assert not draft.exists()


def test_of_two_processes_the_first_one_wins(tmp_path):
    def overtaken():
        cache.cached(tmp_path / "set", two_chunks)
        yield np.zeros((1, 2, 2, 1), "uint8"), np.array(["late"])

    assert contents(cache.cached(tmp_path / "set", overtaken)) == (
        [10, 10, 10, 20],
        ["a", "b", "c", "longer"],
    )
    assert os.listdir(tmp_path) == ["set"]


def test_a_full_disk(tmp_path):
    def large():
        yield np.zeros((100, 100, 100, 1), "uint8"), np.arange(100)

    resource = pytest.importorskip("resource", reason="Windows cannot limit the size of a file")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # files of at most half a megabyte
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, before[1]))
    try:
        with pytest.raises(UserError, match="cannot be cached.*DIFFUSION_LAB_CACHE"):
            cache.cached(tmp_path / "set", large)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert os.listdir(tmp_path) == []


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("DIFFUSION_LAB_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(UserError, match="cannot be cached in .*DIFFUSION_LAB_CACHE"):
        load_dataset("digits", image_size=8)


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("DIFFUSION_LAB_CACHE", str(tmp_path))
    assert cache.cache_folder() == tmp_path
    assert cache.cache_folder(tmp_path / "given") == tmp_path / "given"
    monkeypatch.delenv("DIFFUSION_LAB_CACHE")
    for platform, variable in {"win32": "LOCALAPPDATA", "linux": "XDG_CACHE_HOME"}.items():
        monkeypatch.setattr(sys, "platform", platform)
        monkeypatch.setenv(variable, str(tmp_path / platform))
        assert cache.cache_folder() == tmp_path / platform / "diffusion_lab"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache.cache_folder().parts[-3:] == ("Library", "Caches", "diffusion_lab")


def peak_memory(action):
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_is_flat_when_a_set_is_written_and_read(tmp_path):
    megabyte = 2**20

    def chunks():
        for number in range(64):
            yield np.full((1, 1024, 1024, 1), number, "uint8"), np.array([number])

    assert peak_memory(lambda: cache.cached(tmp_path / "set", chunks)) < 5 * megabyte
    images, labels = cache.cached(tmp_path / "set", never)
    dataset = ImageDataset(images, labels, batch_size=2, shuffle=True)
    # two images as float32, and a copy of them
    assert peak_memory(lambda: dataset[5]) < 25 * megabyte
