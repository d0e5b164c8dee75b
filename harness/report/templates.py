"""Where templates and style sheets are read: this package's own files, by importlib. Nothing else in the package reads any."""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2


def render(template: str, **context: Any) -> str:
    """A page that needs nothing from anywhere: its style sheet is inside, and its own policy forbids it to load anything."""
    from markupsafe import Markup  # noqa: PLC0415 -- as below

    css = _read("page.css")
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    # What stands in the style element must be exactly what was hashed, or the browser refuses it.
    return _environment().get_template(template).render(css=Markup(css), css_digest=digest, **context)  # noqa: S704 -- our own file


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    import jinja2  # noqa: PLC0415 -- `--help`, and whoever wants text only, should not wait for it

    return jinja2.Environment(
        loader=jinja2.FunctionLoader(_read), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip


def _read(name: str) -> str:
    return files("harness.report").joinpath(name).read_text(encoding="utf-8")
