"""What is told about a run: one model, and renderers for people (text) and programs (JSON). PURE: no I/O.

`report.schema.json` beside this file is the contract of the JSON: keys are only ever added within one `schema_version`.
"""

from harness.report.json_format import SCHEMA_VERSION, render_json
from harness.report.model import Event, PlatformFacts, Report, build_report
from harness.report.text import render_text

__all__ = ["SCHEMA_VERSION", "Event", "PlatformFacts", "Report", "build_report", "render_json", "render_text"]
