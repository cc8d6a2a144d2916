"""The tutorials are notebooks too, made of the same pages: nothing is lost, and each page offers its own."""

import re

import nbformat
import pytest
from notebooks import (
    AS_IN_A_SHELL,
    CELL_SECONDS,
    CONSOLE,
    DOCS,
    EARLIER,
    commands_and_output,
    made_earlier,
    notebook,
    pages,
    setup_of,
    with_download,
)


def text(page):
    return (DOCS / f"{page}.md").read_text("utf-8")


def test_every_tutorial_is_a_notebook():
    index = (DOCS / "index.md").read_text("utf-8")
    assert set(re.findall(r"<(tutorials/\w+)>$", index, re.M)) | {"start"} == set(pages())


@pytest.mark.parametrize("page", pages())
def test_a_notebook_holds_the_commands_of_its_page_and_what_they_print(page):
    made = notebook(page)
    nbformat.validate(made)
    assert made.metadata.execution.timeout == CELL_SECONDS
    blocks = [commands_and_output(block) for block in CONSOLE.findall(text(page))]
    code = [cell for cell in made.cells if cell.cell_type == "code"]
    assert code.pop(0).source == AS_IN_A_SHELL
    if setup_of(page):
        assert code.pop(0).source == f"%%bash\n{setup_of(page)}"
    assert [cell.source for cell in code] == [f"%%bash\n{commands}" for commands, _ in blocks]
    assert ["".join(output.text for output in cell.outputs) for cell in code] == [shown for _, shown in blocks]
    headings = re.findall(r"^#+ .+$", re.sub(r"^```.*?^```$", "", text(page), flags=re.M | re.S), re.M)
    markdown = "\n".join(cell.source for cell in made.cells if cell.cell_type == "markdown")
    assert all(heading in markdown for heading in headings)


@pytest.mark.parametrize("page", pages())
def test_a_notebook_stands_by_itself(page):
    for cell in notebook(page).cells:
        for target in re.findall(r"\]\(([^)]+)\)", cell.source if cell.cell_type == "markdown" else ""):
            assert target.startswith(("https://", "attachment:")), target
            if target.startswith("attachment:"):
                assert target.removeprefix("attachment:") in cell.attachments


@pytest.mark.parametrize(
    ("page", "folders"),
    [
        ("start", []),
        ("tutorials/ct", []),
        ("tutorials/mito", ["demo"]),
        ("tutorials/compare", ["demo", "volumes"]),
        ("tutorials/measure", ["demo", "volumes", "results"]),
        ("tutorials/large", ["demo", "volumes", "results"]),
    ],
)
def test_a_notebook_makes_what_it_needs_of_earlier_pages(page, folders):
    assert made_earlier(page) == folders
    assert [line.split()[4] for line in setup_of(page).splitlines() if line.startswith("if ")] == folders


def test_what_is_made_first_is_made_by_the_commands_of_the_pages():
    blocks = CONSOLE.findall(text("start") + text("tutorials/mito"))
    commands = "\n".join(commands_and_output(block)[0] for block in blocks)
    assert all(command in commands for command in EARLIER.values())


def test_prompts_are_no_part_of_the_commands():
    assert commands_and_output("$ a --b \\\n>     c\nsaid\n...\n$ d\n") == ("a --b \\\n    c\nd", "said\n...\n")


def test_a_page_offers_its_notebook_below_its_heading():
    lines = with_download("tutorials/mito", "# Heading\n\nText\n").splitlines()
    assert lines == [
        "# Heading",
        "",
        "{download}`This page as a notebook </_notebooks/tutorials/mito.ipynb>`",
        "",
        "Text",
    ]
    conf = (DOCS / "conf.py").read_text("utf-8")
    assert 'app.connect("source-read", add_link)' in conf
