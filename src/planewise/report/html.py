"""Self-contained HTML pages: no server, no network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from planewise.volumes.atomic import atomic_path


def write_html(path: Path, template: str, filters: dict[str, Callable[..., Any]], **content: Any) -> None:
    """Write a page of ``report/template``. Raises PlanewiseError if it cannot be written."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=PackageLoader("planewise.report", "template"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    page = environment.get_template(template).render(**content)
    with atomic_path(path) as temporary:
        temporary.write_text(page, "utf-8")
