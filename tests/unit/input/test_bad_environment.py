"""Every environment variable that the code reads, with values that nobody can mean."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from input_world import make_world, run

from harness import report_files
from loadtest import guard
from webapp.fault_schema import PLAN_KEYS, variable
from webapp.settings import SettingsError, from_environ

ROOT = Path(__file__).parents[3]
# Of programs: variable, value, command line, exit code, and what the one line says.
PROGRAMS: tuple[tuple[str, str, str, int, str], ...] = (
    *(
        ("GATEPROOF_BIN_DIR", value, f"lint --chart {ROOT / 'charts' / 'webapp'}", 2, "GATEPROOF_BIN_DIR")
        for value in ("{absent}", "{file}", "{folder}", "{loop}", "{long}", "~nobody-of-this-name/x", "/dev/zero", "\n")
    ),
    ("GATEPROOF_BIN_DIR", "{folder}", "setup --gitops", 2, "GATEPROOF_BIN_DIR"),
    *(
        ("GATEPROOF_CACHE_DIR", value, "setup", 2, "GATEPROOF_CACHE_DIR")
        for value in ("{file}", "{below_a_file}", "{loop}", "{long}", "~nobody-of-this-name/x", "/dev/zero")
    ),
    *(
        ("GATEPROOF_BIN_FILE", value, "setup", 2, "GATEPROOF_BIN_FILE")
        for value in ("{absent}", "{folder}", "{loop}", "{long}", "{zero}", "{binary}", "~nobody-of-this-name/x", "ftp://h/x")
    ),
    *(("GATEPROOF_BIN_SHA256", value, "setup", 2, "GATEPROOF_BIN_SHA256") for value in ("xyz", "0" * 63, "0" * 64)),
    *(
        ("KUBECONFIG", value, "status --platform existing --context team", 2, "--kubeconfig")
        for value in ("{absent}", "{folder}", "{loop}", "{binary}", "{file}", "{zero}", "{null}", "{long}", "a:b:c",
                      "~nobody-of-this-name/config")
    ),
)  # fmt: skip
# What is read elsewhere, and the test that has its bad values.
ELSEWHERE = {
    "GATEPROOF_ALLOW_HOST": "below", "GATEPROOF_PARENT_PID": "below", "GITHUB_STEP_SUMMARY": "below",
    "DOCKER_HOST": "kind/test_kind_preflight.py: an engine that does not answer",
    "GATEPROOF_BEGIN_ON_STDIN": "any value but an empty one; the harness sets it itself",
    "GATEPROOF_DEBUG": "any value shows tracebacks, which is what it is for",
    "PATH": "looked up by the system, empty parts and all",
    **dict.fromkeys(("GATEPROOF_SEED", "GATEPROOF_RECORD", "GATEPROOF_MAX_RUN_TIME"), "a Locust run's options: argparse"),
    "NO_COLOR": "any value but an empty one (no-color.org)", "TERM": "an unknown one is rich's to judge",
    "OTEL_TRACES_EXPORTER": "anything but none means otlp", "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS": "any words",
    "OTEL_SERVICE_NAME": "any text",
}  # fmt: skip
WEBAPP = {
    "APP_VERSION": "v 1", "APP_REVISION": "a\nb", "BIND_ADDRESS": "localhost", "PORT": "0", "POD_NAME": "a b",
    "LOG_LEVEL": "loud",
    "FAULT_ADMIN": "perhaps", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:99999", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://[::1",
    "OTEL_BSP_MAX_QUEUE_SIZE": "0", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "99999", "OTEL_BSP_SCHEDULE_DELAY": "-1",
    "OTEL_BSP_EXPORT_TIMEOUT": "soon", "OTEL_ATTRIBUTE_COUNT_LIMIT": "-1", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "x",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "1.5", "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": "x", "OTEL_SPAN_EVENT_COUNT_LIMIT": "nan",
    "OTEL_SPAN_LINK_COUNT_LIMIT": "1e3", "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT": "x", "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT": "x",
    **{variable(key): "\x1bnonsense" for key in PLAN_KEYS},
}  # fmt: skip


def names() -> Iterator[str]:
    """Every variable that the sources name: asked of an environment by a literal, or a constant that is called like one."""
    called = re.compile(r"(GATEPROOF|FAULT|OTEL|APP|BIND|POD|KUBECONFIG|DOCKER|GITHUB)(_[A-Z0-9]+)*")
    for folder in ("harness", "webapp", "loadtest"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in {"get", "getenv"}:
                    asked = ast.unparse(node.func.value)
                    if "environ" in asked and node.args and isinstance(node.args[0], ast.Constant):
                        yield str(node.args[0].value)
                if isinstance(node, ast.Call) and "read." in ast.unparse(node.func) and path.name == "settings.py":
                    yield from (each.value for each in node.args if isinstance(each, ast.Constant) and str(each.value).isupper())
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and called.fullmatch(node.value):
                    yield node.value


# Parts of names, handed to other programs, or of no program that is run here.
NO_VARIABLES = {"FAULT", "APP", "POD_IP", "POD_NAMESPACE", "GATEPROOF_CONTAINER", "DOCKER_CONFIG"}
# What a request has in its WSGI environment: test_webapp_hostile_bodies.py, test_webapp_http.py, test_webapp_conventions.py.
REQUEST = re.compile(r"(HTTP_|REMOTE_|REQUEST_|SERVER_|wsgi\.).*|PATH_INFO|QUERY_STRING|RAW_URI")


def test_every_variable_that_is_read_has_bad_values_here() -> None:
    known = {row[0] for row in PROGRAMS} | ELSEWHERE.keys() | WEBAPP.keys() | NO_VARIABLES
    assert sorted(name for name in set(names()) - known if not REQUEST.fullmatch(name)) == []


@pytest.mark.parametrize("row", PROGRAMS, ids=[f"{row[0]}={row[1]!r}" for row in PROGRAMS])
def test_a_bad_variable_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: tuple[str, str, str, int, str]
) -> None:
    name, value, line, code, told = row
    paths = make_world(tmp_path)
    for other in ("GATEPROOF_BIN_DIR", "KUBECONFIG", "GATEPROOF_DEBUG"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv("GATEPROOF_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv(name, re.sub(r"\{(\w+)\}", lambda found: paths[found[1]], value))
    monkeypatch.chdir(tmp_path / "cwd")
    ran = run(tmp_path, line.split())
    assert (ran.code, ran.out, ran.made) == (code, "", []), ran
    assert told in ran.error


@pytest.mark.parametrize(("name", "value"), WEBAPP.items(), ids=WEBAPP)
def test_the_web_app_tells_a_bad_variable_in_one_line(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}=") as refused:
        from_environ({name: value})
    assert str(refused.value).isprintable()


def test_the_web_apps_queue_holds_a_batch() -> None:
    with pytest.raises(SettingsError, match=r"^OTEL_BSP_MAX_EXPORT_BATCH_SIZE='': must not exceed OTEL_BSP_MAX_QUEUE_SIZE \(1"):
        from_environ({"OTEL_BSP_MAX_QUEUE_SIZE": "100"})


@pytest.mark.parametrize(
    "allowed", ["", " ", "*", "example.org:80", "http://example.org", "example.org/x", "EXAMPLE.com", "0.0.0.0/0"]
)
def test_a_host_that_is_not_named_exactly_gets_no_load(allowed: str) -> None:
    assert "no load is sent to" in str(guard.refusal("http://example.org:80", allowed))


@pytest.mark.parametrize("value", ["", "x", "-1", "1", "9" * 30])
def test_a_load_whose_parent_is_none_ends_at_once(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(guard.PARENT_PID, value)
    monkeypatch.setattr(guard.os, "getppid", lambda: 4711)  # whoever starts the tests in the background has them adopted by 1
    monkeypatch.setattr(guard.ctypes, "CDLL", lambda *_, **__: type("Libc", (), {"prctl": staticmethod(lambda *_: 0)}))
    with pytest.raises(SystemExit, match=r"^the process that started this load \(pid .*\) is gone$"):
        guard.die_with_parent()


@pytest.mark.parametrize("value", ["/", "/nowhere/summary.md", "/dev/null/x", "x" * 5000])
def test_a_summary_that_cannot_be_written_costs_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", value)
    monkeypatch.setattr(report_files, "render_markdown", lambda _: "text")
    warnings = report_files.write_reports(object(), tmp_path)[1]  # type: ignore[arg-type] -- whatever else cannot be rendered is told too
    assert [each for each in warnings if each.startswith(value) and "\n" not in each and "verdict stands" in each]
