"""The published description against real answers: whatever schemathesis makes up from it, well-formed or not."""

import time
from typing import Any

import pytest
import schemathesis
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.config import SchemathesisConfig

from webapp.app import FAULTS, create_app
from webapp.faults import FaultPlan

load_all_checks()
CONFIG = SchemathesisConfig.from_dict(
    {
        "seed": 1,
        "generation": {"max-examples": 30, "deterministic": True, "database": "none"},
        # What no schema can say is refused with 422: rates that add up to more than 100, quantiles out of order, and so on.
        "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", "403", "422"]}},
    }
)
NO_ANSWER_OF_ITS_OWN = {"not_a_server_error", "positive_data_acceptance"}


def described(**environ: str) -> Any:
    """An application and its own description; no plan that is put outlasts the request that put it."""
    app = create_app(environ, end=lambda _why: None)

    def forgetful(request: Any, start_response: Any) -> Any:
        answer = app(request, start_response)
        if "FAULT_ERROR_RATE" not in environ:
            app.extensions[FAULTS].replace(FaultPlan())
        return answer

    return schemathesis.openapi.from_wsgi("/openapi.json", forgetful, config=CONFIG)


def checks(*, without: set[str]) -> list[Any]:
    return [CHECKS.get_one(name) for name in CHECKS.get_all_names() if name not in without]


@pytest.fixture(autouse=True)
def no_real_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)


def checked(case: Any) -> None:
    # /status/{code} answers with the code it is asked for, be it an error.
    case.call_and_validate(checks=checks(without=NO_ANSWER_OF_ITS_OWN if case.path == "/status/{code}" else set()))


closed = described()
administered = described(FAULT_ADMIN="true")
faulty = described(FAULT_ERROR_RATE="100", FAULT_STATUS_CODE="599")


@closed.parametrize()
def test_nothing_breaks_it(case: Any) -> None:
    checked(case)


@administered.parametrize()
def test_nothing_breaks_it_with_fault_admin(case: Any) -> None:
    checked(case)


@faulty.include(tag="user").parametrize()
def test_injected_errors_are_described_too(case: Any) -> None:
    answer = case.call_and_validate(checks=checks(without=NO_ANSWER_OF_ITS_OWN))
    assert answer.status_code in {404, 405, 599}


def test_all_checks_are_on() -> None:
    assert {check.__name__ for check in checks(without=set())} >= {
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "negative_data_rejection",
        "positive_data_acceptance",
        "unsupported_method",
        "allow_header_conformance",
    }
