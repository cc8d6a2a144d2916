"""Make the pictures of README and docs anew, from both demos: ``make pictures``, about 8 CPU minutes.

    python docs/pictures.py FOLDER [STEP ...]

FOLDER keeps the demos; a step uses what earlier steps left there, so that one picture can be made anew alone. Needs
Chromium, and for the windows of napari xvfb-run. Benchmarks make their pictures themselves (see docs/gallery.md).
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from textwrap import wrap
from typing import Any

from notebooks import notebook

import planewise

DOCS = Path(__file__).parent
IMAGES = DOCS / "images"
SECONDS, ROWS, COLUMNS, LINE, CHARACTER = 20, 24, 100, 17, 7.85  # of the recording; pixels of a line and a character
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
        seconds, printed = time.perf_counter() - started, line.replace(installed, "").rstrip()
        lines += [(seconds, part) for part in wrap(printed, COLUMNS, subsequent_indent="  ") or [""]]
        print(printed)
    if process.wait():
        raise SystemExit(f"{shown}: exit code {process.returncode}")
    return lines


def recording(lines: list[tuple[float, str]]) -> str:
    """Return an animated SVG of the lines: all of their time in ``SECONDS``, the end of it three more, and again."""
    length, whole = lines[-1][0], SECONDS + 3
    width, height = round(COLUMNS * CHARACTER) + 24, ROWS * LINE + 24
    at = [100 * SECONDS * seconds / length / whole for seconds, _ in lines]  # percent of the animation
    scroll = [
        f"{moment:.2f}% {{ transform: translateY(-{(place - ROWS + 1) * LINE}px) }}"
        for place, moment in enumerate(at)
        if place >= ROWS
    ]
    appear = "\n".join(
        f"@keyframes line{place} {{ 0% {{ opacity: 0 }} {moment:.2f}%, 100% {{ opacity: 1 }} }}"
        for place, moment in enumerate(at)
    )
    text = "\n".join(
        f'<text x="12" y="{12 + (place + 0.8) * LINE:g}" style="animation-name: line{place}">{escape(line)}</text>'
        for place, (_, line) in enumerate(lines)
    )
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">
<title>{escape(lines[0][1])}: the whole run, shown in {SECONDS} seconds</title>
<style>
text {{ font: 13px monospace; fill: #e6e6e6; white-space: pre }}
text, g {{ animation: scroll {whole}s step-end infinite }}
@keyframes scroll {{ 0% {{ transform: none }} {" ".join(scroll)} }}
{appear}
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
    """Have a report's viewer show the first object of its list, and bring its case to the top of the window."""
    view.locator(".objects button.show").first.evaluate("button => button.click()")
    view.locator("article:has(.viewer)").first.evaluate("article => article.scrollIntoView()")


def view_in_browser(words: Sequence[str | Path], picture: Path, folder: Path) -> None:
    """Take a picture of what ``planewise view`` shows in the browser."""
    command = [*PLANEWISE, "view", *words, "--viewer", "neuroglancer"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if re.match(r"http://.*/v/", line):
                break
        else:
            raise SystemExit(f"planewise view: exit code {process.wait()}\n{''.join(lines)}")
        screenshot(line.strip(), picture, 1190, 722, wait=20)
    finally:
        process.terminate()  # not SIGINT, which a shell has its background processes ignore
        process.wait()


def correct_in_window(result: Path, case: str, picture: Path, *options: str | Path) -> None:
    """Take a picture of ``planewise correct`` on a case of a copy of a folder of results."""
    copies = picture.parent / picture.stem
    shutil.rmtree(copies, ignore_errors=True)
    copy = shutil.copytree(result, copies) / case
    screen = ["xvfb-run", "-a", "-s", "-screen 0 1280x900x24"]
    subprocess.run([*screen, sys.executable, DOCS / "windows.py", copy, picture, *options], check=True)
    shutil.copy(picture, IMAGES)


def run_cells(page: str, folder: Path) -> None:
    """Run the commands of a page's notebook, with the planewise of this Python."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for cell in notebook(page).cells:
        if cell.source.startswith("%%bash\n"):
            subprocess.run(
                ["bash", "-e"],
                input=cell.source.removeprefix("%%bash\n"),
                cwd=folder,
                env=os.environ | {"PATH": path},
                text=True,
                check=True,
            )


# ---- the steps, in their order


def of_demo_mito(folder: Path) -> None:
    """Run the demo on EM, in the terminal that is recorded."""
    lines = recorded(["demo", "mito"], folder)
    (IMAGES / "recording.svg").write_text(recording(lines), "utf-8")
    model = folder / "demo" / "Dataset000_Phantom_model"
    shutil.copy(model / "Demo_training" / "phantom_test1.png", IMAGES / "demo.png")


def of_report(folder: Path) -> None:
    """Compare three planes with one at half the resolution, which makes mistakes; take pictures of the report."""
    dataset, model = folder / "demo" / "Dataset000_Phantom", folder / "demo" / "Dataset000_Phantom_model" / "Demo.yaml"
    one_plane = ["--trained_model", model, "--input", dataset / "imagesTs", "--axes", "xy", "--downsampling", "2"]
    report = folder / "report"
    for words in (
        ["mito", "predict", *one_plane, "--output", dataset / "imagesTs_xy_half"],
        ["compare", dataset, "--output", report],
    ):
        subprocess.run([*PLANEWISE, *words], check=True)
    page = (report / "report.html").resolve().as_uri()
    screenshot(f"{page}#cases", IMAGES / "report.png", 1200, 760)
    screenshot(page, IMAGES / "report_viewer.png", 1180, 1290, show_first_object)


def of_view(folder: Path) -> None:
    """Show the worse result of the report in the browser, with its mistakes."""
    words = ["demo/Dataset000_Phantom/imagesTs_xy_half", "--errors", "report"]
    view_in_browser(words, IMAGES / "view.png", folder)


def of_tutorial(folder: Path) -> None:
    """Run the commands of the tutorial on corrections with the demo's model, and show what it shows."""
    place = folder / "tutorial"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(folder / "demo", place / "demo", ignore=shutil.ignore_patterns("imagesTs_xy_half"))
    run_cells("tutorials/correct", place)
    window = folder / "correct_window.png"
    correct_in_window(place / "before", "phantom_test1.tiff", window, "--worklist", "agreement")
    page = (DOCS / "tutorials" / "correct.md").read_text("utf-8")
    words = re.search(r"^planewise view (.+)$", page, re.M)[1].split()
    view_in_browser(words, IMAGES / "rounds_view.png", place)


def of_demo_ild(folder: Path) -> None:
    """Run the demo on CT."""
    subprocess.run([*PLANEWISE, "demo", "ild", folder / "demo_ild"], check=True)


def of_patient(folder: Path) -> None:
    """Take pictures of what the demo on CT left of its test patient, and of the window that corrects it."""
    demo = folder / "demo_ild"
    results = demo / "work" / "segs"
    auto = results / "MedSAM2-Tiny-ILD_auto"
    shutil.copy(auto / "evaluation" / "CT_phantomtest.png", IMAGES / "demo_ild.png")
    screenshot((auto / "CT_phantomtest.html").resolve().as_uri(), IMAGES / "patient.png", 1180, 960)
    of_class = ["--segment", demo / "Dataset000_Chest" / "labelsTs" / "CT_phantomtest.nii.gz", "1"]
    by_slice = results / "MedSAM2-Tiny-ILD_lungs"  # there, a drawn box changes the mask
    correct_in_window(by_slice, "CT_phantomtest.nii.gz", folder / "correct_ct_window.png", *of_class)


STEPS = {
    "demo_mito": of_demo_mito,
    "report": of_report,
    "view": of_view,
    "tutorial": of_tutorial,
    "demo_ild": of_demo_ild,
    "patient": of_patient,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("steps", nargs="*", choices=[*STEPS, []], metavar="STEP", help=f"of {', '.join(STEPS)}")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in options.steps or STEPS:
        STEPS[name](options.folder)


if __name__ == "__main__":
    main()
