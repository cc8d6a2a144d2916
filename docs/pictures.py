"""Make the pictures of README and gallery anew, from both demos: ``make pictures``, about 8 CPU minutes and Chromium.

    python docs/pictures.py FOLDER [--recording]

FOLDER is for the demos, an empty or a new one. ``--recording``: nothing but the terminal recording of the first.
"""

import argparse
import shutil
import subprocess
import sys
import time
from html import escape
from pathlib import Path

import planewise

IMAGES = Path(__file__).parent / "images"
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


def screenshot(page: Path, picture: Path, width: int, height: int, anchor: str = "") -> None:
    """Take a picture of a page as a browser shows it, from the element ``anchor`` on."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        view = browser.new_page(viewport={"width": width, "height": height})
        view.goto(page.resolve().as_uri() + anchor)
        view.wait_for_timeout(1000)  # milliseconds, to draw
        view.screenshot(path=picture)
        browser.close()


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
    screenshot(report / "report.html", IMAGES / "report.png", 1200, 760, "#cases")
    shutil.copy(segs / "evaluation" / "CT_phantomtest.png", IMAGES / "demo_ild.png")
    screenshot(segs / "CT_phantomtest.html", IMAGES / "patient.png", 1020, 1020)


if __name__ == "__main__":
    main()
