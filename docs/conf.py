"""How the documentation is built: ``make docs``. Nothing is fetched from a network, neither to build nor to read it."""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import notebooks

project = "planewise"
author = copyright = "The planewise developers"
release = re.search(r'^version = "(.+)"', (Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"), re.M)[1]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton"]
exclude_patterns = ["_build", "_notebooks", "_pictures"]
source_suffix = {".md": "markdown"}
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_typehints = "description"
copybutton_prompt_text = r"\$ |> ?"  # of console blocks: commands are copied, without what they print
copybutton_prompt_is_regexp = True

html_theme = "furo"
html_title = f"planewise {release}"
html_static_path = ["_static"]
html_css_files = ["wide.css"]
html_show_sphinx = False
html_copy_source = False


def setup(app):
    """Offer each tutorial as a notebook too, and link the pages that docstrings name."""

    def add_link(app, page, source):
        if page in notebooks.pages():
            source[0] = notebooks.with_download(page, source[0])

    def link_pages(app, what, name, obj, options, lines):
        lines[:] = [re.sub(r"docs/(\w+)\.md", r":doc:`\1`", line) for line in lines]

    app.connect("builder-inited", lambda app: notebooks.write_notebooks())
    app.connect("source-read", add_link)
    app.connect("autodoc-process-docstring", link_pages)
