"""Self-contained HTML pages: no server, no network."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planewise.volumes.atomic import atomic_path

if TYPE_CHECKING:
    from jinja2 import Environment


def write_html(path: Path, template: str, filters: dict[str, Callable[..., Any]], **content: Any) -> None:
    """Write a page of ``report/template``. Raises PlanewiseError if it cannot be written."""
    environment = _environment()
    environment.filters |= filters  # a template looks them up each time
    page = environment.get_template(template).render(**content)
    with atomic_path(path) as temporary:
        temporary.write_text(page, "utf-8")


@cache
def _environment() -> "Environment":
    """Return what compiles the templates, and keeps them: of a cohort, each patient has a page of the same one."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    return Environment(
        loader=PackageLoader("planewise.report", "template"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
