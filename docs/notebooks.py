"""The tutorials as notebooks: made of the pages while the site is built, and offered at the top of each page.

A ``console`` block becomes one cell of a shell with the commands alone; what the page shows of their output is the
cell's output. A notebook stands by itself: pictures are within it, and links to other pages name the page.
"""

import base64
import re
from pathlib import Path
from typing import Any

import jupytext
from nbformat import NotebookNode
from nbformat.v4 import new_output

DOCS = Path(__file__).parent
FOLDER = "_notebooks"  # beside the pages, for the site's downloads
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.M | re.S)
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:)([^)#]+)[^)]*\)")
PICTURE = re.compile(r"!\[([^\]]*)\]\(([^):]+)\)")
TYPES = {".png": "image/png", ".svg": "image/svg+xml"}
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


def notebook(page: str) -> NotebookNode:
    """Return a page as a notebook."""
    path = DOCS / f"{page}.md"
    text = path.read_text("utf-8")
    shown = [commands_and_output(block)[1] for block in CONSOLE.findall(text)]
    text = CONSOLE.sub(lambda match: f"```bash\n{commands_and_output(match[1])[0]}\n```", text)
    text = re.sub(r"^```sh$", "```console", text, flags=re.M)  # examples that nobody's files fit: no cells
    made = jupytext.reads(HEADER + text, fmt="md")
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


def write_notebooks() -> None:
    """Write all notebooks into the folder that the pages link to."""
    for page in pages():
        path = DOCS / FOLDER / f"{page}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        jupytext.write(notebook(page), path)


def with_download(page: str, text: str) -> str:
    """Return the text of a page with the link to its notebook below the heading."""
    heading, rest = text.split("\n", 1)
    return f"{heading}\n\n{{download}}`This page as a notebook </{FOLDER}/{page}.ipynb>`\n{rest}"
