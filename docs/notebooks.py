"""The tutorials as notebooks: made of the pages while the site is built, and offered at the top of each page.

A ``console`` block becomes one cell of a shell with the commands alone; what the page shows of their output is the
cell's output. A notebook stands by itself: its first cells have commands print as in a shell, and make what earlier
pages made, unless it is there; pictures are within it, and links to other pages name the page.
"""

import base64
import re
from pathlib import Path
from typing import Any

import jupytext
from nbformat import NotebookNode
from nbformat.v4 import new_output

DOCS = Path(__file__).parent
CELL_SECONDS = 3600  # that nbmake waits for a cell, on a machine busy with other things too: only for what hangs
FOLDER = "_notebooks"  # beside the pages, for the site's downloads
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.M | re.S)
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:)([^)#]+)[^)]*\)")
PICTURE = re.compile(r"!\[([^\]]*)\]\(([^):]+)\)")
TYPES = {".png": "image/png", ".svg": "image/svg+xml"}
EARLIER = {  # folders that pages use, and the commands of earlier pages that make them
    "demo": "planewise demo mito demo",
    "volumes": "mkdir volumes\ncp demo/Dataset000_Phantom/imagesTs/phantom_test1_0000.tiff volumes",
    "results": "planewise mito predict --trained_model demo/Dataset000_Phantom_model/Demo.yaml --input volumes "
    "--output results",
}
# Jupyter asks programs for colours, which makes them take a cell for a terminal and draw their bars again and again. It
# shows standard error, on which planewise prints its messages, apart from the rest.
AS_IN_A_SHELL = "%env FORCE_COLOR=\n%alias_magic --cell bash script --params \"bash -c 'exec bash 2>&1'\""
PRINTING = "This cell has the commands of the others print as in a shell:"
SETUP = "What earlier pages made is made here, unless it is there already (the demo takes about one minute):"
HEADER = "---\njupyter:\n  kernelspec:\n    display_name: Python 3\n    language: python\n    name: python3\n---\n\n"


def pages() -> list[str]:
    """Return the pages that are notebooks too, as the site calls them."""
    return ["start", *sorted(f"tutorials/{path.stem}" for path in (DOCS / "tutorials").glob("*.md"))]


def commands_and_output(block: str) -> tuple[str, str]:
    """Return the commands of a console block, without their prompts, and what it shows of their output."""
    lines = block.splitlines()
    commands = [line[2:] for line in lines if line.startswith(("$ ", "> ")) or line == ">"]
    shown = [line for line in lines if not line.startswith(("$ ", "> ")) and line != ">"]
    return "\n".join(commands), "".join(f"{line}\n" for line in shown)


def made_earlier(page: str) -> list[str]:
    """Return the folders that the commands of a page use and do not make, in the order in which they are made."""
    text = "\n".join(
        commands_and_output(block)[0] for block in CONSOLE.findall((DOCS / f"{page}.md").read_text("utf-8"))
    )
    used = [name for name in EARLIER if re.search(rf"(?<![\w/.]){name}(?![\w.-])", text)]
    needed = [name for name in EARLIER if any(re.search(rf"\b{name}\b", EARLIER[other]) for other in used)]
    return [name for name in needed if EARLIER[name] not in text]


def setup_of(page: str) -> str:
    """Return the commands of the first cell of a page's notebook; "" if it needs nothing of earlier pages."""
    return "".join(f"if [ ! -e {name} ]; then\n{EARLIER[name]}\nfi\n" for name in made_earlier(page)).rstrip()


def notebook(page: str) -> NotebookNode:
    """Return a page as a notebook."""
    path = DOCS / f"{page}.md"
    text = path.read_text("utf-8")
    shown = ["", *(commands_and_output(block)[1] for block in CONSOLE.findall(text))]
    heading, rest = text.split("\n", 1)
    first = f"{PRINTING}\n\n```python\n{AS_IN_A_SHELL}\n```\n"
    if setup := setup_of(page):
        first += f"\n{SETUP}\n\n```bash\n{setup}\n```\n"
        shown.insert(0, "")
    text = f"{heading}\n\n{first}{rest}"
    text = CONSOLE.sub(lambda match: f"```bash\n{commands_and_output(match[1])[0]}\n```", text)
    text = re.sub(r"^```sh$", "```console", text, flags=re.M)  # examples that nobody's files fit: no cells
    made = jupytext.reads(HEADER + text, fmt="md")
    made.metadata["execution"] = {"timeout": CELL_SECONDS}
    code = [cell for cell in made.cells if cell.cell_type == "code"]
    for cell, output in zip(code, shown, strict=True):
        if output:
            cell.outputs = [new_output("stream", text=output)]
    for cell in made.cells:
        if cell.cell_type == "markdown":
            _stand_alone(cell, path.parent)
    return made


def _stand_alone(cell: NotebookNode, folder: Path) -> None:
    """Put pictures into a cell of text, and have its links to other pages name them."""
    pictures: dict[str, Any] = {}

    def attached(match: re.Match) -> str:
        path = folder / match[2]
        pictures[path.name] = {TYPES[path.suffix]: base64.b64encode(path.read_bytes()).decode()}
        return f"![{match[1]}](attachment:{path.name})"

    def named(match: re.Match) -> str:
        return f"{match[1]} (docs/{(folder / match[2]).resolve().relative_to(DOCS)})"

    cell.source = LINK.sub(named, PICTURE.sub(attached, cell.source))
    if pictures:
        cell.attachments = pictures


def write_notebooks(folder: Path = DOCS / FOLDER) -> None:
    """Write all notebooks into a folder, by default the one that the pages link to."""
    for page in pages():
        path = folder / f"{page}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        jupytext.write(notebook(page), path)


def with_download(page: str, text: str) -> str:
    """Return the text of a page with the link to its notebook below the heading."""
    heading, rest = text.split("\n", 1)
    return f"{heading}\n\n{{download}}`This page as a notebook </{FOLDER}/{page}.ipynb>`\n{rest}"
