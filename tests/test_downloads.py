"""Downloaded data sets, without a network: from files that exist already, and without any."""

import gzip
import http.server
import socket
import threading

import numpy as np
import pytest

from diffusion_lab.data import downloads, load_dataset
from diffusion_lab.errors import UserError


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def keras_home(tmp_path, monkeypatch):
    """Keras keeps its data sets in an empty folder for the length of a test."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path / "keras"))
    (tmp_path / "keras").mkdir()
    return tmp_path / "keras"


@pytest.fixture
def closed_port():
    """Returns a port of this machine on which no program listens."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        yield server.getsockname()[1]


def write_fashion_mnist(keras_home, training, validation):
    """Writes images and labels 0, 1, 2, ... in the original's format."""
    folder = keras_home / "datasets" / "fashion-mnist"
    folder.mkdir(parents=True)
    for prefix, images in (("train", training), ("t10k", validation)):
        labels = bytes(range(len(images)))
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(
            gzip.compress(bytes(16) + images.tobytes())
        )
        (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(bytes(8) + labels))
    return folder


def test_fashion_mnist_from_the_originals_files(keras_home, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (9, 28, 28), dtype="uint8")
    write_fashion_mnist(keras_home, images[:6], images[6:])
    training = load_dataset(
        "fashion_mnist", image_size=28, batch_size=2, cache_dir=tmp_path / "cache"
    )
    validation = load_dataset(
        "fashion_mnist", "validation", 28, count=2, cache_dir=tmp_path / "cache"
    )
    np.testing.assert_array_equal(training.images[..., 0], images[:6])
    np.testing.assert_array_equal(validation.images[..., 0], images[6:8])
    assert training.labels.tolist() == list(range(6)) and not training.flip


def test_a_damaged_original_is_named(keras_home, tmp_path):
    folder = write_fashion_mnist(
        keras_home, np.zeros((2, 28, 28), "uint8"), np.zeros((2, 28, 28), "uint8")
    )
    file = folder / "t10k-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(
        UserError, match=f"fashion_mnist cannot be read .*delete its files in {keras_home}"
    ):
        load_dataset("fashion_mnist", cache_dir=tmp_path / "cache")


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_without_a_network(name, keras_home, closed_port, tmp_path, monkeypatch):
    url = f"http://127.0.0.1:{closed_port}/"
    monkeypatch.setitem(
        downloads.KERAS_ORIGINALS, name, downloads.KERAS_ORIGINALS[name]._replace(url=url)
    )
    message = (
        f"{name} cannot be downloaded from 127.0.0.1:{closed_port}"
        f" .*refused.*{keras_home}.*procedural_flowers"
    )
    with pytest.raises(UserError, match=message):
        load_dataset(name, cache_dir=tmp_path / "cache")


def test_a_server_that_never_answers():
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with pytest.raises(UserError, match="mnist cannot be downloaded .*(timed out|no answer)"):
            downloads.require_connection("mnist", url, "copy it", seconds=0.2)


def test_a_name_server_that_never_answers(monkeypatch):
    monkeypatch.setattr("urllib.request.urlopen", lambda url, timeout: threading.Event().wait(5))
    with pytest.raises(UserError, match="no answer in 0.1 seconds"):
        downloads.require_connection("mnist", "http://127.0.0.1/", "copy it", seconds=0.1)


def test_a_server_without_the_file():
    class NotFound(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(404)

        def log_message(self, *arguments):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), NotFound) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(UserError, match="Not Found"):
            downloads.require_connection(
                "mnist", f"http://127.0.0.1:{server.server_port}/", "copy it"
            )
        server.shutdown()
