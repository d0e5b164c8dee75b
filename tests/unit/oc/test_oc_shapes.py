"""Gates in the shapes that people write them: what is understood, what it comes to, and what is refused with a hint."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from oc_cases import analysis, as_documents, metric, rollout, template
from scipy import stats

from harness.lint import promql
from harness.oc import advice
from harness.oc.advice import Wanted
from harness.oc.exact import characteristic, prepare
from harness.oc.gate import Gate, Limits, most_bad
from harness.oc.query import Count, Unreadable, classify
from harness.oc.reading import read_gate
from harness.oc.simulate import Chain, simulate

GOOD = 'sum(irate(istio_requests_total{reporter="source",destination_service=~"{{args.service}}",response_code!~"5.*"}[5m]))'
ALL = 'sum(irate(istio_requests_total{reporter="source",destination_service=~"{{args.service}}"}[5m]))'


def read(*metrics: dict[str, Any], **more: Any) -> Gate:
    steps = [{"setWeight": 20}, {"pause": {"duration": "5m"}}, analysis()]
    return read_gate(as_documents(rollout(steps), template(metrics)), **more)


def bearing(query: str, condition: str, **more: Any) -> dict[str, Any]:
    return metric("m", query, condition, **{"initialDelay": None, "interval": "20s", "count": 5, "failureLimit": 1, **more})


def most(query: str, condition: str, requests: float = 1000) -> float:
    made = read(bearing(query, condition))
    return float(most_bad(made.metrics, np.array([requests]), window=made.window)[0])


@pytest.mark.parametrize(("query", "condition", "wanted"), [
    (f"{GOOD} / {ALL}", "result[0] >= 0.95", 50),
    (f"{GOOD}\n/\n{ALL}", "len(result) == 0 || result[0] > 0.9895", 10),
    ('sum(rate(nginx_requests{status=~"[4-5].*"}[2m])) / sum(rate(nginx_requests[2m])) * 100', "result[0] < 5", 49),
    ('sum(rate(http_requests_total{status!~"5..|404"}[2m])) / sum(rate(http_requests_total[2m]))', "all(result, # > 0.9)", 99),
    ('(sum(rate(a{code=~"5.."}[1m])) or on() vector(0)) / sum(rate(a[1m]))', "default(result, 0) < 1", None),
    ('sum(rate(a{code=~"5.."}[1m])) / sum(rate(a[1m])) OR on() vector(0)', "result[0] < 0.0495", 49),
    ('sum(rate(response_total{classification="success"}[1m])) / sum(rate(response_total[1m]))', "result[0] > 0.9", 99),
    ('1 - sum(rate(http_count{outcome="SERVER_ERROR"}[1m])) / sum(rate(http_count[1m]))', "result[0] >= 0.8995", 100),
    ('sum(rate(grpc_handled{grpc_code!="OK"}[1m])) / sum(rate(grpc_handled[1m]))', "result[0] <= 0.0205", 20),
    ('sum(rate(grpc_handled{grpc_code=~"OK|NotFound"}[1m])) / sum(rate(grpc_handled[1m]))', "result[0] >= 0.9795", 20),
    ('sum(increase(a{code=~"5.."}[1m])) > 10', "len(result) == 0", 10),
    ('sum(increase(a{code=~"5.."}[1m])) > bool 10', "result[0] == 0", 10),
    ('histogram_quantile(0.95, sum(irate(istio_request_duration_milliseconds_bucket[2m])) by (le))', "result[0] <= 500", 50),
    ('sum(rate(a{code=~"4.."}[1m])) / sum(rate(a[1m])) * 100', "result[0] < 50", 499),
])  # fmt: skip
def test_shapes_that_are_understood(query: str, condition: str, wanted: float | None) -> None:
    if wanted is None:  # a vector is no number: the controller makes an Error of it, whatever the value is
        with pytest.raises(Unreadable, match="metric m: its condition is an error at every value"):
            most(query, condition)
        return
    assert most(query, condition) == wanted


@pytest.mark.parametrize(("sign", "few", "many"), [("and", 5, 29), ("unless", 0, 1000)])
def test_a_second_vector_says_whether_there_is_a_first(sign: str, few: float, many: float) -> None:
    query = f'(sum(rate(a{{code=~"5.."}}[1m])) / sum(rate(a[1m]))) {sign} (sum(increase(a[1m])) > 9)'
    condition = "len(result) == 0 || result[0] < 0.0295"
    assert (most(query, condition, 5), most(query, condition, 1000)) == (few, many)


@pytest.mark.parametrize(("query", "match"), [
    ("sum(rate(h_sum[1m])) / sum(rate(h_count[1m]))", "h_sum, which counts no requests; a mean of durations"),
    ("sum(rate(container_cpu_usage_seconds_total[1m]))", "counts no requests"),
    ("sum(rate(h_bucket[1m]))", "needs le"),
    ('sum(rate(a{version="new",code=~"5.."}[1m])) / sum(rate(a{version="old",code=~"5.."}[1m]))', "different labels .version."),
    ('sum(rate(a{code=~"5.."}[1m])) / sum(irate(a[1m]))', "mixes irate"),
    ("sum(irate(a[20s]))", r"needs two scrapes, and there is one every 15 s \(--scrape-interval\)"),
    ('sum(rate(a{code!="503"}[1m])) / sum(rate(a[1m]))', "leaves out some errors"),
    ('sum(rate(a{status="pending"}[1m])) / sum(rate(a[1m]))', "no status that is known"),
    ('sum(a{code=~"5.."}) / sum(a)', "not understood here: sum"), ('a{code=~"5.."} / a', "reads a as it stands"),
])  # fmt: skip
def test_shapes_that_are_refused_with_the_reason(query: str, match: str) -> None:
    with pytest.raises(Unreadable, match=f"metric m: .*{match}.*--without m"):
        read(bearing(query, "result[0] < 0.5"))


@pytest.mark.parametrize(("selector", "wanted"), [
    ('a{grpc_code="OK"}', Count.GOOD), ('a{grpc_code=~"Unknown|Internal"}', Count.ERRORS), ('a{grpc_status="0"}', Count.GOOD),
    ('a{grpc_status!="0"}', Count.ERRORS), ('a{grpc_code!=""}', Count.ALL), ('a{code!~"4.."}', Count.ALL),
    ('a{code=~"502|503|504"}', Count.ERRORS), ('a{envoy_response_code_class="5"}', Count.ERRORS),
    ('a{code=~"2..|3.."}', Count.GOOD), ('a{code!="200"}', Count.ERRORS), ('a{code!="500"}', Count.GOOD),
    ('a{classification!="success"}', Count.ERRORS), ('a{grpc_code!~"OK|CANCELLED"}', Count.ERRORS),
    ('a{outcome="SUCCESS"}', Count.GOOD), ('a{class="web"}', Count.ALL), ('a{code=~"429"}', Count.ERRORS),
])  # fmt: skip
def test_what_a_matcher_on_a_status_counts(selector: str, wanted: Count) -> None:
    assert classify(promql.parse(selector))[0] is wanted


def test_a_metric_over_all_versions_is_told() -> None:
    made = rollout([{"setWeight": 20}, {"pause": {"duration": "1m"}}, analysis()])
    made["spec"]["strategy"]["canary"]["steps"][2]["analysis"]["args"] = [{"name": "service", "value": "shop"}]
    both = template([bearing(f"{GOOD} / {ALL}", "result[0] >= 0.95")])
    both["spec"]["args"] = [{"name": "service"}]
    told = "metric m is not tied to the new version: computed as if it counted that alone"
    assert told in read_gate(as_documents(made, both)).notes
    made["spec"]["strategy"]["canary"]["steps"][2]["analysis"]["args"] = [{"name": "service", "value": "shop-canary"}]
    assert told not in read_gate(as_documents(made, both)).notes


def test_limits_as_arguments_and_as_texts() -> None:
    written = {"interval": "{{args.every}}", "count": "{{ args.times }}", "failureLimit": "2"}
    made = template([bearing(f"{GOOD} / {ALL}", "result[0] >= {{args.least}}", **written)])
    made["spec"]["args"] = [{"name": "least", "value": "0.9"}, {"name": "every", "value": "1m"}, {"name": "times", "value": "4"}]
    (found,) = read_gate(as_documents(made, rollout([{"setWeight": 20}, {"pause": {"duration": 60}}, analysis()]))).steps
    assert [each.at for each in found.measurements] == [0, 60, 120, 180]
    assert found.measurements[0].metrics[0].limits == Limits(failures=2)


def test_what_never_ends_as_a_step_is_refused() -> None:
    for change, match in (
        ({"count": None}, "it never passes as a step"), ({"count": 2, "failureLimit": 3}, "the controller refuses it: count 2"),
        ({"count": None, "failureLimit": -1, "consecutiveSuccessLimit": 2}, "has no bound"), ({"count": 2000}, "count of 2000"),
        ({"count": None, "interval": "0s", "consecutiveSuccessLimit": 2}, "its interval is no time above 0"),
        ({"interval": "{{args.nothing}}"}, "its interval is the argument nothing, which has no value"),
    ):
        with pytest.raises(Unreadable, match=f"metric m: .*{match}"):
            read(bearing(f"{GOOD} / {ALL}", "result[0] >= 0.95", **change))


def background(steps: list[dict[str, Any]], *metrics: dict[str, Any], **more: Any) -> Gate:
    made = rollout(steps)
    made["spec"]["strategy"]["canary"]["analysis"] = {**analysis()["analysis"], **more}
    return read_gate(as_documents(made, template(metrics)))


def test_backgrounds_that_never_measure_are_left_out_or_refused() -> None:
    steps = [{"setWeight": 20}, {"pause": {"duration": "1m"}}, analysis()]
    one = bearing(f"{GOOD} / {ALL}", "result[0] >= 0.95")
    assert background(steps, one, startingStep=3).background is None
    late = background([*steps, {"pause": {"duration": "1m"}}], {**one, "initialDelay": "2m"}, startingStep=3)
    assert late.background is None
    told = [made.notes[-1].partition("out: ")[2] for made in (background(steps, one, startingStep=3), late)]
    assert told == ["the steps are over before it begins", "the steps are over before it measures"]
    assert [each.weight for each in background([*steps, {"setWeight": 50}, {"pause": {"duration": 9}}], one).steps] == [20, 50]
    with pytest.raises(Unreadable, match="ends early"):
        background(steps, {**one, "consecutiveSuccessLimit": 2})


IRATE = metric("m", f"{GOOD} / {ALL}", "result[0] >= 0.95", initialDelay="60s", interval="60s", count=3, failureLimit=1)


@pytest.mark.parametrize("interval", [5.0, 15.0])
def test_an_irate_sees_the_last_two_scrapes(interval: float) -> None:
    documents = as_documents(rollout([{"setWeight": 50}, analysis()], replicas=2), template([IRATE]))
    made = read_gate(documents, scrape_interval=interval)
    assert made.window == interval
    assert any(f"for a window of the {interval:g} s" in note for note in made.notes)
    plan = prepare(made, rps=20, kind="fixed")
    q = float(stats.binom.sf(np.floor(0.05 * 10 * interval + 1e-9), 10 * interval, 0.04))
    assert characteristic(plan, np.array([0.04])).rollback[0] == pytest.approx(3 * q**2 * (1 - q) + q**3)
    for p in (0.03, 0.05):
        played = simulate(made, Chain(rps=20, scrape_interval=interval), error_rate=p, runs=1500, seed=3)
        low, high = played.interval(0.9999)
        assert low <= characteristic(prepare(made, rps=20), np.array([p])).rollback[0] <= high


def test_an_irate_has_no_other_window() -> None:
    made = read(IRATE)
    wanted = Wanted(bad=0.2, power=0.9, healthy=0.001, max_false=0.1)
    assert "use rate()" in advice.window_for(made, wanted, rps=5, kind="split").reason
    assert advice.rps_for(made, wanted, kind="split").value is not None
    with pytest.raises(Unreadable, match="metric m: its irate"):
        made.with_window(120)
    assert made.with_window(15) is made
