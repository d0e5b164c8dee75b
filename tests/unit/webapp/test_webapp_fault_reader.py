"""One plan, written in the environment or as JSON; one validator, held against the schema that is published."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from webapp.app import create_app
from webapp.fault_reader import PlanError, json_value, plan_from_environ, plan_from_json, plan_to_json
from webapp.fault_schema import PLAN_KEYS, PROCESS_FIELDS, REQUEST_FIELDS, RULE_KEYS, USER_ROUTES, plan_schema, variable
from webapp.faults import FaultPlan, RequestFaults, Scope
from webapp.routes import route_template

SCHEMA = Draft202012Validator(plan_schema())
IN_FORCE = Draft202012Validator(plan_schema(at_run_time=False))
FULL: dict[str, Any] = {
    "routes": ["/", "/status/{code}"],
    "header": "X-Canary: yes",
    "error_rate": 5.5,
    "status_code": 503,
    "latency_ms": 20.0,
    "latency_jitter_ms": 10.0,
    "latency_p50_ms": 0.0,
    "latency_p90_ms": 0.0,
    "latency_p99_ms": 0.0,
    "hang_rate": 1.0,
    "reset_rate": 2.0,
    "rules": [{"routes": ["/headers"], "latency_p50_ms": 1, "latency_p90_ms": 2, "latency_p99_ms": 3, "error_rate": 50}],
    "crash_after_requests": 1000,
    "crash_after_seconds": 60.0,
    "memory_kib_per_request": 64,
    "memory_cap_mib": 128,
    "readiness_flap_seconds": 2.5,
    "clock_behind_seconds": 3.5,
    "seed": 7,
}


def refusal(value: object) -> str:
    with pytest.raises(PlanError) as error:
        plan_from_json(value)
    message = str(error.value)
    assert len(message.splitlines()) == 1
    return message


def numbers() -> st.SearchStrategy[Any]:
    borders = [bound for field in (*REQUEST_FIELDS, *PROCESS_FIELDS) for bound in (field.low, field.high)]
    near = [change + border for border in borders for change in (-1, -0.5, 0, 0.5, 1)]
    others = (st.floats(allow_nan=False), st.integers(), st.booleans(), st.none(), st.text(max_size=3))
    return st.one_of(st.sampled_from(near), *others)


def objects(keys: tuple[str, ...], **more: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    values: dict[str, st.SearchStrategy[Any]] = dict.fromkeys(keys, numbers()) | {
        "routes": st.one_of(numbers(), st.lists(st.sampled_from([*USER_ROUTES, "/no", 1]), max_size=5)),
        "header": st.one_of(numbers(), st.sampled_from(["", "A", "A: b", "A\n", "A:\n", "Ä", "a b", ":", "A:é", "A" * 65])),
        "unknown": numbers(),
        **more,
    }
    # Few keys at a time: of many that are all at random hardly one plan would be right.
    return st.lists(st.sampled_from(sorted(values)), max_size=4, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: values[name] for name in names})
    )


RULES = objects(RULE_KEYS)
PLANS = st.one_of(objects(PLAN_KEYS, rules=st.one_of(numbers(), st.lists(RULES, max_size=2))), numbers())


@given(PLANS)
def test_the_validator_and_the_schema_agree(value: Any) -> None:
    described = SCHEMA.is_valid(value)
    try:
        plan = plan_from_json(value)
    except PlanError as error:
        beyond_a_schema = ("must not exceed", "must be set together", "cannot be combined", "each once")
        assert not described or any(words in problem for problem in error.problems for words in beyond_a_schema)  # noqa: PT017
    else:
        assert described
        assert plan_from_json(plan_to_json(plan)) == plan
        assert IN_FORCE.is_valid(plan_to_json(plan))
        assert json_value(json.dumps(plan_to_json(plan))) == plan_to_json(plan)


def test_the_schemas_are_schemas() -> None:
    for schema in (SCHEMA, IN_FORCE):
        Draft202012Validator.check_schema(schema.schema)
    assert IN_FORCE.is_valid(plan_to_json(FaultPlan()))
    assert SCHEMA.is_valid(FULL)


def test_every_key_has_a_variable_that_means_the_same() -> None:
    plan = plan_from_json(FULL)
    environ = {
        variable(key): ",".join(value) if key == "routes" else value if isinstance(value, str) else json.dumps(value)
        for key, value in FULL.items()
        if not key.startswith("latency_p")
    }
    assert plan_from_environ(environ) == plan
    assert plan_to_json(plan).items() >= {key: value for key, value in FULL.items() if key != "rules"}.items()
    assert plan.rules[0].scope == Scope(routes=("/headers",))
    assert set(plan_to_json(plan)) == set(PLAN_KEYS)


def test_an_empty_plan_is_no_fault_at_all() -> None:
    assert plan_from_json({}) == FaultPlan() == plan_from_environ({"FAULT_RULES": " ", "FAULT_SEED": ""})


def test_three_quantiles_of_zero_are_none() -> None:
    assert plan_from_json({"latency_p50_ms": 0, "latency_p90_ms": 0, "latency_p99_ms": 0, "latency_ms": 5}).latency_ms == 5
    tail_only = plan_from_json({"latency_p50_ms": 0, "latency_p90_ms": 0, "latency_p99_ms": 300})
    assert tail_only.latency_at(0.9) == 0
    assert tail_only.latency_at(0.99) == pytest.approx(300)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "the plan must be a JSON object"),
        ({"error_rate": 101}, "error_rate=101: must be a number from 0 to 100 (percent)"),
        ({"error_rate": True}, "error_rate=true: must be a number from 0 to 100 (percent)"),
        ({"error_rate": "5"}, 'error_rate="5": must be a number from 0 to 100 (percent)'),
        ({"status_code": 500.5}, "status_code=500.5: must be a whole number from 400 to 599"),
        ({"slow_start_seconds": 3}, "slow_start_seconds=3: works at a start only, so it is set by FAULT_SLOW_START_SECONDS"),
        ({"hang_rate": 60, "reset_rate": 41}, "reset_rate=41: hang_rate + reset_rate must not exceed 100"),
        ({"header": "a b"}, 'header="a b": must be a header\'s name, or its name and value as in `Name: value`'),
        ({"rules": {}}, "rules={}: must be a JSON list of at most 32 objects"),
        ({"rules": [{}, {"seed": 1}]}, "rules[1].\"seed\": unknown; known are " + ", ".join(RULE_KEYS)),
        ({"rules": [{"hang_rate": -1}]}, "rules[0].hang_rate=-1: must be a number from 0 to 100 (percent)"),
        (
            {"latency_p50_ms": 1},
            "latency_p50_ms=1: latency_p50_ms, latency_p90_ms and latency_p99_ms must be set together, in rising order",
        ),
    ],
)
def test_a_refusal_says_what_is_wrong(value: object, message: str) -> None:
    assert refusal(value) == message


def test_all_problems_are_told_at_once_and_long_ones_are_cut() -> None:
    message = refusal({"error_rate": "x" * 10_000, "hang_rate": -1, "rules": [{"status_code": 1}]})
    assert len(message.split("; ")) == 3
    assert len(message) < 500


@pytest.mark.parametrize("text", ["{", "nope", '{"a": 1}', '[{"error_rate": NaN}]', "[" * 100_000])
def test_rules_of_the_environment_are_json(text: str) -> None:
    with pytest.raises(PlanError, match=r"^FAULT_RULES=.*: must be a JSON list of at most 32 objects$"):
        plan_from_environ({"FAULT_RULES": text})


def test_a_rule_of_the_environment_is_named_by_its_place() -> None:
    with pytest.raises(PlanError, match=r"^FAULT_RULES\[0\]\.error_rate=200: must be a number from 0 to 100 \(percent\)$"):
        plan_from_environ({"FAULT_RULES": '[{"error_rate": 200}]'})


def test_the_routes_that_a_scope_may_name_are_those_of_users() -> None:
    rules = create_app({}).url_map.iter_rules()
    assert {route_template(rule.rule) for rule in rules if rule.endpoint.startswith("user.")} == set(USER_ROUTES)


def test_a_rules_defaults_are_its_own() -> None:
    (rule,) = plan_from_json({"status_code": 503, "error_rate": 5, "rules": [{"routes": ["/"]}]}).rules
    assert rule == RequestFaults(scope=Scope(routes=("/",)))
