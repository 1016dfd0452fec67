"""Oxford Flowers 102 through the real TensorFlow Datasets, from a local miniature."""

import functools
import http.server
import io
import socket
import tarfile
import threading

import numpy as np
import pytest
import scipy.io
from PIL import Image
from tensorflow_datasets.datasets.oxford_flowers102 import (
    oxford_flowers102_dataset_builder as original,
)

from diffusion_lab.data import dataset_status, load_dataset
from diffusion_lab.errors import UserError

COUNT = 20  # image i is grey of brightness 10 i and has label i


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def website(tmp_path):
    """A folder with a miniature archive in the original's format."""
    folder = tmp_path / "website"
    folder.mkdir()
    with tarfile.open(folder / "102flowers.tgz", "w:gz") as archive:
        for number in range(1, COUNT + 1):
            jpeg = io.BytesIO()
            Image.new("RGB", (40, 30), (10 * number,) * 3).save(jpeg, "JPEG")
            member = tarfile.TarInfo(f"jpg/image_{number:05d}.jpg")
            member.size = jpeg.tell()
            jpeg.seek(0)
            archive.addfile(member, jpeg)
    ids = np.arange(1, COUNT + 1, dtype="uint16")
    scipy.io.savemat(folder / "imagelabels.mat", {"labels": ids[None]})
    scipy.io.savemat(
        folder / "setid.mat",
        {"trnid": ids[None, :4], "valid": ids[None, 4:8], "tstid": ids[None, 8:]},
    )
    return folder


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(website, tmp_path, monkeypatch):
    """Serves the miniature instead of the original; prepared data goes to a new folder."""
    handler = functools.partial(QuietHandler, directory=str(website))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        monkeypatch.setattr(original, "_BASE_URL", f"http://127.0.0.1:{running.server_port}/")
        monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
        yield running
        running.shutdown()


def load(split, cache):
    return load_dataset("oxford_flowers102", split, image_size=8, batch_size=1, cache_dir=cache)


def test_download_pool_and_split(server, tmp_path):
    training, validation = load("train", tmp_path / "cache"), load("validation", tmp_path / "cache")
    assert len(training.images) + len(validation.images) == COUNT and len(validation.images) >= 2
    assert training.image_shape == (8, 8, 3) and training.flip
    labels = np.concatenate([training.labels, validation.labels])
    assert sorted(labels) == list(range(COUNT))  # tfds counts labels from 0, the original from 1
    for dataset in (training, validation):
        brightness = 10 * (dataset.labels + 1)
        assert abs(dataset.images.astype(int) - brightness[:, None, None, None]).max() <= 2

    server.shutdown()
    server.server_close()
    again = load("train", tmp_path / "other cache")  # prepared data needs no server
    np.testing.assert_array_equal(again.images, training.images)
    assert (
        dataset_status("oxford_flowers102") == f"cached at {tmp_path}/tfds/oxford_flowers102/2.1.1"
    )


def test_no_server(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setattr(original, "_BASE_URL", f"http://127.0.0.1:{closed.getsockname()[1]}/")
        message = (
            "oxford_flowers102 cannot be downloaded .*refused.*TFDS_DATA_DIR.*procedural_flowers"
        )
        with pytest.raises(UserError, match=message):
            load("train", tmp_path / "cache")


def test_a_file_that_is_not_an_archive(server, website, tmp_path):
    (website / "102flowers.tgz").write_bytes(b"this is no archive")
    with pytest.raises(
        UserError, match="oxford_flowers102 cannot be prepared .*procedural_flowers"
    ):
        load("train", tmp_path / "cache")
    assert dataset_status("oxford_flowers102") == "needs a download"
