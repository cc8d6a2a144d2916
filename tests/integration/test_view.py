"""planewise view, as a user runs it: a server of its own in another process, a window on a screen in memory."""

import http.client
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
import zlib

import numpy as np
import pytest

from planewise.apps.view import scene_of
from planewise.apps.view_cases import shown_of
from planewise.apps.view_options import View
from planewise.cli import run
from planewise.viewing.neuroglancer_server import served
from planewise.volumes.files import open_volume, write_volume
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume
from scenes import CODED, LABELS, SPACING
from stopped import ENVIRONMENT

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
SOFTWARE_GL = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist")
HEADLESS = {name: value for name, value in ENVIRONMENT.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """A dataset of one case, and a comparison that found a merge."""
    folder = tmp_path_factory.mktemp("view") / "Dataset001_A"
    write_volume(folder / "imagesTs" / "a_0000.tiff", Volume(CODED.astype(np.uint16), SPACING, "nm"))
    write_labels(folder / "instancesTs" / "a.tiff", Volume(LABELS, SPACING, "nm"))
    write_labels(folder / "imagesTs_m" / "a.tiff", Volume((LABELS > 0).astype(np.uint8), SPACING, "nm"))
    (folder / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "spot": 1}, "file_ending": ".tiff"}))
    assert run(["compare", str(folder), "--output", str(folder / "report")]) == 0
    return folder


def get(url):
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read()


def sent_to(url):
    """Where a link sends the browser."""
    address = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(address.netloc, timeout=60)
    connection.request("GET", address.path)
    answer = connection.getresponse()
    connection.close()
    assert answer.status == 302
    return answer.getheader("Location")


@pytest.mark.parametrize("stopped_by", [signal.SIGINT, signal.SIGTERM])
def test_the_browser_gets_the_client_and_the_voxels_with_the_token_alone(dataset, stopped_by):
    command = [sys.executable, "-m", "planewise", "view", str(dataset), "--viewer", "neuroglancer", "--errors"]
    process = subprocess.Popen(
        command,
        env=HEADLESS,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        printed = ""
        for line in process.stdout:
            printed += line
            if "Ctrl-C" in line:
                break
        url = re.search(r"^http://\S+$", printed, re.MULTILINE)[0]
        address, _, fragment = url.partition("#!")
        token = address.rstrip("/").rpartition("/")[2]
        root = address.removesuffix(f"/v/{token}/")
        port = root.rpartition(":")[2]
        assert root == f"http://127.0.0.1:{port}"
        assert len(token) == 40
        assert f"ssh -L {port}:127.0.0.1:{port}" in printed
        page = get(address)
        assert b"<script" in page
        state = json.loads(urllib.parse.unquote(fragment))
        sources = {layer["name"]: layer["source"][0]["url"] for layer in state["layers"][:3]}
        key = sources["a"].removeprefix("python://volume/")
        info = json.loads(get(f"{root}/neuroglancer/info/{key}"))
        assert (info["shape"], info["dataType"]) == ([33, 20, 12], "uint16")
        data = get(f"{root}/neuroglancer/npz/{key}/1,1,1/3,5,1/9,20,4")
        chunk = np.load(io.BytesIO(zlib.decompress(data)))
        assert np.array_equal(chunk, CODED.astype(np.uint16)[1:4, 5:20, 3:9].T)
        mesh = get(f"{root}/neuroglancer/mesh/{sources['m'].removeprefix('python://volume/')}/1")
        assert len(mesh) > 1000

        link = re.search(r"http://\S+/go/\S+/1\b", printed)[0]
        assert "merge: truth 7, 300; predicted 1" in printed
        there = json.loads(urllib.parse.unquote(sent_to(link).partition("#!")[2]))
        z, y, x = (int(place - 0.5) for place in there["position"][::-1])
        assert LABELS[z, y, x] == 300

        for path in ("v/0/", f"v/{token[:-1]}x/", f"neuroglancer/info/{key[1:]}", "go/0/1", "",
                     f"neuroglancer/npz/{'0' * 40}.{key.partition('.')[2]}/1,1,1/0,0,0/1,1,1"):  # fmt: skip
            with pytest.raises(urllib.error.HTTPError, match="404"):
                get(f"{root}/{path}")
    finally:
        process.send_signal(stopped_by)
        rest = process.communicate()[0]
    assert "--resume" not in rest
    assert process.returncode == 0, printed + rest
    assert "Traceback" not in printed + rest
    assert "neuroglancer has ended" in rest


BUSY = "(() => { let now = Date.now(); Date.now = () => (now += 1000); })()"  # a second goes by between any two looks


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")
def test_a_browser_that_is_busy_shows_all_layers(dataset):
    """The client then writes its state into the URL at every change of a layer, also while the state is being read."""
    from playwright.sync_api import sync_playwright

    case = shown_of(View(path=dataset, errors=()))
    scene = scene_of(case, View(path=dataset, errors=()))
    with served(scene) as at, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *SOFTWARE_GL])
        page = browser.new_page()
        page.add_init_script(BUSY)
        page.goto(at.url)
        page.wait_for_selector(".neuroglancer-layer-item", timeout=60_000)
        layers = page.locator(".neuroglancer-layer-item-label").all_text_contents()
        said = page.locator(".neuroglancer-status-message, #neuroglancer-status-container").all_text_contents()
        browser.close()
    assert layers == ["a", "truth", "m", "places"]
    assert "undefined" not in " ".join(said)


def test_a_port_that_is_taken(dataset):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "planewise", "view", str(dataset), "--viewer", "neuroglancer", "--port", port]
        done = subprocess.run(command, env=HEADLESS, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"--port {port}: cannot be served at (" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_scene_for_slicer(dataset, tmp_path):
    assert run(["view", str(dataset), "--slicer", str(tmp_path / "scene"), "--errors"]) == 0
    assert {path.name for path in (tmp_path / "scene").iterdir()} == {
        "a.mrml",
        "a.nrrd",
        "truth.seg.nrrd",
        "m.seg.nrrd",
        "places.mrk.json",
    }
    assert np.array_equal(open_volume(tmp_path / "scene" / "truth.seg.nrrd").read(), LABELS)
    assert run(["view", str(dataset), "--slicer", str(tmp_path / "scene")]) == 2


def test_mistakes_of_one_method_that_was_evaluated_and_of_another_that_was_not(dataset, tmp_path, capsys):
    copy = shutil.copytree(dataset, tmp_path / dataset.name)
    (copy / "imagesTs_m" / "evaluation").mkdir()
    (copy / "report" / "results.json").rename(copy / "imagesTs_m" / "evaluation" / "results.json")
    shutil.copytree(copy / "imagesTs_m", copy / "imagesTs_n", ignore=shutil.ignore_patterns("evaluation"))
    assert run(["view", str(copy), "--slicer", str(tmp_path / "scene"), "--errors"]) == 0
    assert "n: was not evaluated, so its mistakes are not listed" in " ".join(capsys.readouterr().err.split())
    assert "merge" in (tmp_path / "scene" / "places.mrk.json").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "nowhere: no such file or folder"),
        (["{}", "--case", "b"], "--case b: {} has none of that name; it has a"),
        (["{}", "--object", "9"], "--object 9: {}/imagesTs_m/a.tiff holds no such label"),
        (["{}", "--at", "12", "0", "0"], "--at 12 0 0: lies outside"),
        (["{}", "--errors", "{}/dataset.json"], "is not a results.json"),
        (["{}/dataset.json"], "dataset.json: unknown format"),
    ],
)
def test_what_cannot_be_shown_is_refused(dataset, arguments, words, capsys):
    filled = [text.format(dataset) for text in arguments]
    assert run(["view", *filled, "--viewer", "neuroglancer"]) == 2
    assert words.format(dataset) in " ".join(capsys.readouterr().err.split())


WINDOW = """
import sys
import napari
from qtpy.QtCore import QTimer
from planewise.cli import main

def look_and_close():
    viewer = napari.current_viewer()
    docks = viewer.window.dock_widgets
    docks["Mistakes"].setCurrentRow(0)
    print([layer.name for layer in viewer.layers], tuple(map(int, viewer.dims.point)))
    viewer.close()

real = napari.run
napari.run = lambda: (QTimer.singleShot(500, look_and_close), real())
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_a_window_of_napari(dataset):
    """On a screen in memory, since napari draws with OpenGL, which Qt has nowhere else without one."""
    pytest.importorskip("napari", reason="napari is not installed: pip install planewise[napari]")
    if shutil.which("xvfb-run") is None:
        pytest.skip("no xvfb-run: apt-get install xvfb")
    command = ["xvfb-run", "-a", "-s", "-screen 0 1024x768x24", sys.executable, "-c", WINDOW, "view", str(dataset)]
    environment = {**HEADLESS, "QT_QPA_PLATFORM": "xcb", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([*command, "--viewer", "napari", "--errors"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "['a', 'truth', 'm', 'places'] (320, 16, 28)" in done.stdout  # voxel (8, 2, 7), in nm
