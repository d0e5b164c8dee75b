"""What is told about a run: one model, and renderers for people and programs, each a function from a Report to its text.

PURE but for the page's own templates, which `templates` reads. `report.schema.json` beside this file is the contract of the JSON:
keys are only ever added within one `schema_version`. For other pages and tables: `templates.render` and `plot` draw any page,
`markdown.markdown_table` and `text.table` any table, `junit.render_junit` any number of runs.
"""

from harness.report.html import render_html
from harness.report.json_format import SCHEMA_VERSION, render_json
from harness.report.junit import render_junit
from harness.report.markdown import render_markdown
from harness.report.model import Event, PlatformFacts, Report, Reproduction, build_report
from harness.report.text import render_text

__all__ = [
    "SCHEMA_VERSION",
    "Event",
    "PlatformFacts",
    "Report",
    "Reproduction",
    "build_report",
    "render_html",
    "render_json",
    "render_junit",
    "render_markdown",
    "render_text",
]
