"""Make the pictures of README and gallery anew, from both demos: ``make pictures``, about 12 CPU minutes.

    python docs/pictures.py FOLDER [--recording]

FOLDER is for the demos, an empty or a new one. ``--recording``: nothing but the terminal recording of the first. Needs
Chromium, and for the windows of napari xvfb-run. Those of benchmarks (see docs/gallery.md) are made by these.
"""

import argparse
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from notebooks import notebook

import planewise

DOCS = Path(__file__).parent
IMAGES = DOCS / "images"
SECONDS, ROWS, COLUMNS, LINE, CHARACTER = 20, 26, 110, 17, 7.85  # of the recording; pixels of a line and a character
PLANEWISE = [sys.executable, "-m", "planewise"]


def recorded(words: list[str], folder: Path) -> list[tuple[float, str]]:
    """Return what planewise prints in ``folder``: lines, each with the seconds after which it came."""
    shown = " ".join(["planewise", *words])
    started, lines = time.perf_counter(), [(0.0, f"$ {shown}")]
    installed = f"{Path(planewise.__file__).parent}/"
    process = subprocess.Popen(
        [*PLANEWISE, *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    for line in process.stdout:
        lines.append((time.perf_counter() - started, line.replace(installed, "").rstrip()[:COLUMNS]))
        print(lines[-1][1])
    if process.wait():
        raise SystemExit(f"{shown}: exit code {process.returncode}")
    return lines


def recording(lines: list[tuple[float, str]]) -> str:
    """Return an animated SVG of the lines, all of their time shown in ``SECONDS`` and the end of it in three more."""
    length, whole = lines[-1][0], SECONDS + 3
    width, height = round(COLUMNS * CHARACTER) + 24, ROWS * LINE + 24
    at = [SECONDS * seconds / length for seconds, _ in lines]
    scroll = [
        f"{100 * moment / whole:.2f}% {{ transform: translateY(-{(place - ROWS + 1) * LINE}px) }}"
        for place, moment in enumerate(at)
        if place >= ROWS
    ]
    text = "\n".join(
        f'<text x="12" y="{12 + (place + 0.8) * LINE:g}" style="animation-delay: {moment:.2f}s">{escape(line)}</text>'
        for place, (moment, (_, line)) in enumerate(zip(at, lines))
    )
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">
<title>{escape(lines[0][1])}: the whole run, shown in {SECONDS} seconds</title>
<style>
text {{ font: 13px monospace; fill: #e6e6e6; white-space: pre; opacity: 0; animation: show 0s forwards }}
g {{ animation: scroll {whole}s step-end forwards }}
@keyframes show {{ to {{ opacity: 1 }} }}
@keyframes scroll {{ 0% {{ transform: none }} {" ".join(scroll)} }}
</style>
<rect width="100%" height="100%" rx="6" fill="#1e1e1e"/>
<svg x="0" y="6" width="{width}" height="{height - 12}"><g>
{text}
</g></svg>
</svg>
"""


def screenshot(
    url: str, picture: Path, width: int, height: int, act: Callable[[Any], None] | None = None, wait: float = 1.0
) -> None:  # fmt: skip
    """Take a picture of a page as a browser shows it, ``wait`` seconds after ``act`` did something on it."""
    from playwright.sync_api import sync_playwright

    webgl = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=webgl)
        view = browser.new_page(viewport={"width": width, "height": height})
        view.goto(url)
        if act is not None:
            act(view)
        view.wait_for_timeout(1000 * wait)
        view.screenshot(path=picture)
        browser.close()


def show_first_object(view: Any) -> None:
    """Have a report's viewer show the first object of its list, and bring the viewer to the top of the window."""
    view.locator(".viewer button.show").first.evaluate("button => button.click()")
    view.locator(".viewer").first.evaluate("viewer => viewer.scrollIntoView()")


def view_in_browser(words: Sequence[str | Path], picture: Path, folder: Path) -> None:
    """Take a picture of what ``planewise view`` shows in the browser."""
    command = [*PLANEWISE, "view", *words, "--viewer", "neuroglancer"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        url = next((line.strip() for line in process.stdout if re.match(r"http://.*/v/", line)), None)
        if url is None:
            raise SystemExit(f"planewise view: exit code {process.wait()}")
        screenshot(url, picture, 1190, 722, wait=20)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def correct_in_window(result: Path, case: str, picture: Path, *options: str | Path) -> None:
    """Take a picture of ``planewise correct`` on a case of a copy of a folder of results."""
    copy = shutil.copytree(result, picture.parent / picture.stem) / case
    screen = ["xvfb-run", "-a", "-s", "-screen 0 1280x900x24"]
    subprocess.run([*screen, sys.executable, DOCS / "windows.py", copy, picture, *options], check=True)
    shutil.copy(picture, IMAGES)


def run_cells(page: str, folder: Path) -> None:
    """Run the commands of a page's notebook."""
    for cell in notebook(page).cells:
        if cell.cell_type == "code":
            subprocess.run(
                ["bash", "-e"], input=cell.source.removeprefix("%%bash\n"), cwd=folder, text=True, check=True
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--recording", action="store_true")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    mito, ild = options.folder / "demo", options.folder / "demo_ild"
    lines = recorded(["demo", "mito"], options.folder)
    (IMAGES / "recording.svg").write_text(recording(lines), "utf-8")
    if options.recording:
        return
    dataset, model = mito / "Dataset000_Phantom", mito / "Dataset000_Phantom_model"
    shutil.copy(model / "Demo_training" / "phantom_test1.png", IMAGES / "demo.png")
    plane = ["--trained_model", model / "Demo.yaml", "--input", dataset / "imagesTs", "--axes", "xy"]
    report, segs = options.folder / "report", ild / "work" / "segs" / "MedSAM2-Tiny-ILD_auto"
    for words in (
        ["mito", "predict", *plane, "--output", dataset / "imagesTs_xy_only"],
        ["compare", dataset, "--output", report],
        ["demo", "ild", ild],
    ):
        subprocess.run([*PLANEWISE, *words], check=True)
    page = (report / "report.html").resolve().as_uri()
    screenshot(f"{page}#cases", IMAGES / "report.png", 1200, 760)
    screenshot(page, IMAGES / "report_viewer.png", 1180, 1260, show_first_object)
    view_in_browser(
        [dataset.resolve(), "--case", "phantom_test1", "--errors", report.resolve()],
        IMAGES / "view.png",
        options.folder,
    )
    shutil.copy(segs / "evaluation" / "CT_phantomtest.png", IMAGES / "demo_ild.png")
    screenshot((segs / "CT_phantomtest.html").resolve().as_uri(), IMAGES / "patient.png", 1180, 960)
    of_class = ["--segment", ild / "Dataset000_Chest" / "labelsTs" / "CT_phantomtest.nii.gz", "2"]
    correct_in_window(segs, "CT_phantomtest.nii.gz", options.folder / "correct_ct_window.png", *of_class)
    run_cells("tutorials/correct", options.folder)
    window = options.folder / "correct_window.png"
    correct_in_window(options.folder / "before", "phantom_test1.tiff", window, "--worklist", "agreement")


if __name__ == "__main__":
    main()
