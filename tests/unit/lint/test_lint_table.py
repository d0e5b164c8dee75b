"""docs/lint.md's table of rules is made from the rules."""

from __future__ import annotations

from docs_support import DOCS

from harness.lint.check import RULES
from harness.lint.render import table


def test_the_table_in_the_document_is_the_codes() -> None:
    text = (DOCS / "lint.md").read_text(encoding="utf-8")
    shown = text.partition("<!-- rules -->\n")[2].partition("\n<!-- /rules -->")[0]
    made = "`python -c 'from harness.lint import check, render; print(render.table(check.RULES))'` makes it"
    assert shown == table(RULES), made
