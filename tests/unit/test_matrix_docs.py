"""The example of docs/matrix.md is a matrix, and its table of keys is the schema's."""

from __future__ import annotations

import json
import re

from docs_support import DOCS

from harness.matrix.parse import DEFAULTS, SCHEMA_FILE, parse

TEXT = (DOCS / "matrix.md").read_text(encoding="utf-8")


def test_the_example_is_accepted() -> None:
    (example,) = re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    table = parse(example, file="example.yaml")
    assert table.problems == ()
    # 3 faults x 2 loads x 2 sets of values, less 2, and 3 one by one.
    assert len(table.entries) == 13
    assert sum(entry.alone for entry in table.entries) == 1


def test_the_table_of_keys_is_current() -> None:
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| (.*?) ?\|$", TEXT, re.MULTILINE))
    assert rows.keys() == schema["properties"]["scenarios"]["items"]["properties"].keys()
    told = {key: json.loads(text.strip("`")) for key, text in rows.items() if key in DEFAULTS and key != "fault"}
    assert told == {key: value for key, value in DEFAULTS.items() if key != "fault"}
    assert rows["fault"] == "`none`"
