"""What README and docs/ name exists: tests, commands, options, messages, and code that is Python."""

import ast
import json
import re
import shlex
import tomllib
from functools import cache
from importlib import import_module
from pathlib import Path

import jsonschema
import pytest
import yaml
from markdown_it import MarkdownIt

import planewise
from planewise.commands import COMMANDS
from planewise.progress import WARNING

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [path for path in PAGES if "_build" not in path.parts]


def _blocks(path: Path, languages: str) -> list[str]:
    """Return the fenced blocks of a page in one of the languages, a regular expression."""
    return re.findall(rf"^ *```(?:{languages})\n(.*?)^ *```$", path.read_text("utf-8"), re.M | re.S)


def _commands(path: Path) -> list[list[str]]:
    """Return the words of every planewise command in a page's blocks, comments left out."""
    lines = [line for block in _blocks(path, "|sh|console|text") for line in block.replace("\\\n", " ").splitlines()]
    lines = [line.removeprefix("$ ") for line in lines]
    return [shlex.split(line, comments=True)[1:] for line in lines if re.match(r"planewise (?!COMMAND)[a-z]", line)]


def test_every_row_of_what_is_read_names_a_test():
    parts = (ROOT / "docs" / "input.md").read_text().split("\n\n")
    rows = [row for part in parts if part.partition("\n")[0].endswith("| test |") for row in part.splitlines()[2:]]
    assert len(rows) > 40
    for row in rows:
        file, name = re.search(r"`(test_\w+\.py)::(test_\w+)` \|$", row).groups()
        assert any(f"def {name}(" in path.read_text() for path in (ROOT / "tests").rglob(file)), row


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_every_command_and_option_exists(page):
    for words in _commands(page):
        name = next(iter(name for name in (" ".join(words[:2]), words[0]) if name in COMMANDS), None)
        assert name, words
        module, options = COMMANDS[name].options.split(":")
        known = _options_of(getattr(import_module(module), options))
        for word in words:
            option = word.removeprefix("--").partition("=")[0]
            assert not word.startswith("--") or option in known, (words, word)


def _options_of(options) -> set[str]:
    """Return the options of a command as they are written, without the dashes."""
    names = {"help"}
    for name, field in options.model_fields.items():
        names |= {name, *(alias.lstrip("-") for arg in field.metadata for alias in getattr(arg, "aliases", None) or ())}
        names |= {arg.name for arg in field.metadata if getattr(arg, "name", None)}
    return names


def test_every_command_is_in_the_list_of_commands():
    page = (ROOT / "docs" / "commands.md").read_text("utf-8")
    listed = re.findall(r"^\| `planewise ([a-z ]+)` \|", page, re.M)
    assert sorted(listed) == sorted(COMMANDS)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_python_is_python(page):
    for block in _blocks(page, "python"):
        ast.parse(re.sub(r"^ {3}", "", block, flags=re.M) if block.startswith("   ") else block)


def test_every_message_of_troubleshooting_is_in_the_code():
    messages = re.findall(r"^### `(.+)`$", (ROOT / "docs" / "troubleshooting.md").read_text("utf-8"), re.M)
    assert len(messages) > 60
    for message in messages:
        parts = message.removeprefix(WARNING).split("...")  # which one function writes before all of them
        assert len(message.replace("...", "").split()) > 2, message
        pattern = re.compile(".*?".join(map(re.escape, parts)), re.S)
        assert any(all(part in text for part in parts) and pattern.search(text) for text in _texts()), message


@cache
def _texts() -> list[str]:
    """Return every string of the source, with ... where values are put in."""
    texts = []
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "..." for part in node.values]
                texts.append("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return texts


def test_every_extra_is_in_the_table_of_extras():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    listed = re.findall(r"^\| `\.\[(\w+)\]` \|", (ROOT / "docs" / "install.md").read_text("utf-8"), re.M)
    assert sorted(listed) == sorted(project["optional-dependencies"])


def test_every_page_is_in_the_menu():
    menu = re.findall(r"^(?:.+ <)?([\w/]+)>?$", "\n".join(_blocks(ROOT / "docs" / "index.md", "{toctree}")), re.M)
    pages = {path.relative_to(ROOT / "docs").with_suffix("").as_posix() for path in PAGES[1:]}
    assert sorted(menu) == sorted(pages - {"index"})


def test_every_name_is_in_the_python_reference():
    page = (ROOT / "docs" / "api.md").read_text("utf-8")
    assert sorted(re.findall(r"^\.\. auto\w+:: (\w+)$", page, re.M)) == sorted(planewise.__all__)


def test_every_picture_is_in_the_gallery():
    shown = re.findall(r"\(images/([^)]+)\)", (ROOT / "docs" / "gallery.md").read_text("utf-8"))
    assert sorted(shown) == sorted(path.name for path in (ROOT / "docs" / "images").iterdir())


def test_one_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"]
    assert (ROOT / "CHANGELOG.md").read_text("utf-8").startswith(f"# Changelog\n\n## {project['version']}")


def test_the_citation_is_in_the_citation_file_format():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    schema = json.loads((ROOT / "tests" / "reference" / "cff-1.2.0.json").read_text("utf-8"))
    jsonschema.validate(json.loads(json.dumps(citation, default=str)), schema)  # str: of dates
    with pytest.raises(jsonschema.ValidationError, match="authors"):
        jsonschema.validate({key: citation[key] for key in citation if key != "authors"}, schema)


def test_the_dockerfile_installs_what_there_is():
    lines = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ").splitlines()
    copied = [shlex.split(line)[1:-1] for line in lines if line.startswith("COPY ")]
    copied = [name for names in copied for name in names]
    assert all((ROOT / name).exists() for name in copied)
    ignored = (ROOT / ".dockerignore").read_text("utf-8").split()
    assert not {Path(name).parts[0] for name in copied} & set(ignored)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert {"pyproject.toml", "README.md", *project["license-files"], "src"} <= set(copied)  # what the build reads
    installed = [shlex.split(line) for line in lines if line.startswith("RUN pip install ")]
    extras = [re.findall(r"\w+", word) for words in installed for word in words if word.startswith(".[")]
    assert len(extras) == 1
    assert set(extras[0]) <= set(project["optional-dependencies"])
    pinned = [name for words in installed for name in re.findall(r"\^(\w+)==", " ".join(words))]
    constraints = (ROOT / "constraints.txt").read_text("utf-8")
    assert pinned
    assert all(len(re.findall(rf"^{name}==", constraints, re.M)) == 1 for name in pinned)
    started = [json.loads(line.removeprefix("ENTRYPOINT ")) for line in lines if line.startswith("ENTRYPOINT ")]
    assert started == [["planewise"]]
    assert "planewise" in project["scripts"]


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])  # those of docs/ are checked when the site is built
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)", (ROOT / page).read_text("utf-8"))
    assert all(link.startswith("https://") or (ROOT / link).exists() for link in links), links


def test_pypi_shows_no_broken_picture_or_link():
    hooks = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["metadata"]["hooks"]
    text = (ROOT / "README.md").read_text("utf-8")
    for one in hooks["fancy-pypi-readme"]["substitutions"]:  # as the plugin does when the package is built
        text = re.sub(one["pattern"], one["replacement"], text)
    page = MarkdownIt("commonmark").enable("table").render(text)
    assert all(url.startswith("https://") for url in re.findall(r'(?:src|href)="([^"]+)"', page))
    assert "docs/scaling.md" in page
    assert len(page) > 5000
