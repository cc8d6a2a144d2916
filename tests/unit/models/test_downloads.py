import functools
import hashlib
import http.server
import io
import re
import threading
from pathlib import Path

import pooch
import pytest
import torch

from planewise.errors import PlanewiseError
from planewise.models.downloads import cached
from planewise.models.model_file import ModelFile
from planewise.models.weights import locate_weights

NORMS = {"mean": 0.5, "std": 0.1}


def weights(value):
    """Return the content of a file of weights."""
    file = io.BytesIO()
    torch.save({"w": torch.full((1,), value)}, file)
    return file.getvalue()


WEIGHTS = weights(0.0)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A loopback server of a file of weights, and an empty cache. Yields (URL, sha256, number of requests)."""
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "w.pth").write_bytes(WEIGHTS)
    requests = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            requests.append(arguments)

    handler = functools.partial(Handler, directory=tmp_path / "served")
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield (
            f"http://127.0.0.1:{running.server_port}/w.pth?download=1",
            hashlib.sha256(WEIGHTS).hexdigest(),
            requests,
        )
        running.shutdown()
        thread.join()


def test_weights_are_downloaded_once(tmp_path, server):
    url, sha256, requests = server
    for _ in range(2):
        path = locate_weights(ModelFile(model=url, model_sha256=sha256, norms=NORMS), tmp_path / "m.yaml")
        assert path.read_bytes() == WEIGHTS
    assert len(requests) == 1
    assert path.name == "w.pth"
    assert [file.name for file in path.parent.iterdir()] == ["w.pth"]


def test_a_sha256_that_nobody_gave_is_told_and_kept(tmp_path, server, capsys):
    url, sha256, requests = server
    model = ModelFile(model=url, norms=NORMS)
    path = locate_weights(model, tmp_path / "m.yaml")
    assert f"Its sha256 is {sha256}" in capsys.readouterr().err
    assert locate_weights(model, tmp_path / "m.yaml") == path
    assert capsys.readouterr().err == ""
    assert len(requests) == 1
    path.write_bytes(b"changed")
    with pytest.raises(PlanewiseError, match=rf"sha256 is .*, not {sha256}, which it had .*, delete \S+\.sha256"):
        locate_weights(model, tmp_path / "m.yaml")
    path.unlink()
    (tmp_path / "served" / "w.pth").write_bytes(weights(1.0))
    with pytest.raises(PlanewiseError, match="downloaded, but its sha256 is not that which it had"):
        locate_weights(model, tmp_path / "m.yaml")
    assert not path.exists()


def test_what_is_no_file_of_weights_in_the_cache_is_told(tmp_path, server):
    model = ModelFile(model=server[0], norms=NORMS)
    path = cached(server[0])
    pinned = path.with_name("w.pth.sha256")
    path.mkdir(parents=True)
    with pytest.raises(PlanewiseError, match=r"w.pth: the weights of .* cannot be used \(Is a directory\)"):
        locate_weights(model, tmp_path / "m.yaml")
    path.rmdir()
    pinned.write_bytes(b"\xff")
    with pytest.raises(PlanewiseError, match=r"w.pth.sha256: holds no sha256"):
        locate_weights(model, tmp_path / "m.yaml")
    assert not path.exists()


def test_files_of_one_name_at_two_urls_are_two_files(tmp_path, server):
    url, _, _ = server
    (tmp_path / "served" / "b").mkdir()
    (tmp_path / "served" / "b" / "w.pth").write_bytes(weights(1.0))
    paths = [
        locate_weights(ModelFile(model=where, norms=NORMS), tmp_path / "m.yaml")
        for where in (url, url.replace("/w.pth", "/b/w.pth"))
    ]
    assert [path.read_bytes() for path in paths] == [WEIGHTS, weights(1.0)]


def test_another_sha256_is_refused(tmp_path, server):
    url, _, _ = server
    with pytest.raises(PlanewiseError, match=r"sha256 is not that which .*m\.yaml gives"):
        locate_weights(ModelFile(model=url, model_sha256="0" * 64, norms=NORMS), tmp_path / "m.yaml")


def test_with_no_network_the_error_says_what_to_put_where(tmp_path, monkeypatch):
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache")
    model = ModelFile(model="http://127.0.0.1:9/MitoNet.pth?download=1", norms=NORMS)  # nothing listens there
    with pytest.raises(PlanewiseError, match=r"cache/[0-9a-f]{16}/MitoNet\.pth.*--from_scratch") as caught:
        locate_weights(model, tmp_path / "m.yaml")
    place = Path(re.search(r"put it at (\S+),", str(caught.value))[1])
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(WEIGHTS[:-100])
    with pytest.raises(PlanewiseError, match="damaged or was cut short"):
        locate_weights(model, tmp_path / "m.yaml")
    assert list(place.parent.iterdir()) == [place]  # the sha256 of what cannot be read is not kept
    place.write_bytes(WEIGHTS)
    assert locate_weights(model, tmp_path / "m.yaml") == place
