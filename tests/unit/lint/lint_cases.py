"""For each rule: manifests that break it, and the same with the least change that mends them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]

GUARDED = "len(result) > 0 && !isNaN(result[0]) && result[0] >= 0.99"
SCOPE = 'hash="{{args.canary-hash}}"'
ALL = f"sum(rate(http_requests_total{{{SCOPE}}}[1m]))"
RATIO = f'sum(rate(http_requests_total{{{SCOPE},code!~"5.."}}[1m])) / {ALL}'
ERRORS = f'sum(rate(http_requests_total{{{SCOPE},code=~"5.."}}[1m]))'


def metric(query: str = RATIO, condition: str | None = GUARDED, **more: Any) -> Object:
    found: Object = {"name": "success-rate", "initialDelay": "60s", "count": 1, "failureLimit": 0}
    if condition is not None:
        found["successCondition"] = condition
    found["provider"] = {"prometheus": {"address": "http://prometheus:9090", "query": query}}
    return {key: value for key, value in (found | more).items() if value is not None}


def template(*metrics: Object, args: list[Object] | None = None, name: str = "slo", **more: Any) -> Object:
    spec = {"args": [{"name": "canary-hash"}] if args is None else args, "metrics": list(metrics) or [metric()]}
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisTemplate", "metadata": {"name": name}, "spec": spec | more}


HASH = {"name": "canary-hash", "valueFrom": {"podTemplateHashValue": "Latest"}}


def analysis(*args: Object, **more: Any) -> Object:
    return {"templates": [{"templateName": "slo"}], "args": list(args) or [HASH], **more}


STEPS = [{"setWeight": 10}, {"analysis": analysis()}]


def rollout(steps: list[Object] | None = None, *, canary: Object | None = None, **spec: Any) -> Object:
    strategy = {"canary": {"steps": STEPS if steps is None else steps, **(canary or {})}}
    more = {"progressDeadlineAbort": True, "strategy": strategy} | spec
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "app"}, "spec": more}


def blue_green(**strategy: Any) -> Object:
    return rollout(strategy={"blueGreen": {"activeService": "app", "previewService": "app-preview", **strategy}})


ISTIO: Object = {
    "trafficRouting": {
        "istio": {
            "virtualService": {"name": "app", "routes": ["primary"]},
            "destinationRule": {"name": "app", "stableSubsetName": "stable", "canarySubsetName": "canary"},
        }
    }
}

SERVICES: Object = {
    "canaryService": "app-new",
    "stableService": "app-old",
    "trafficRouting": {"istio": {"virtualService": {"name": "app"}}},
}


def virtual_service(**route: Any) -> Object:
    weights = {"stable": 100, "canary": 0}
    split = [{"destination": {"host": "app", "subset": side}, "weight": weight} for side, weight in weights.items()]
    spec = {"http": [{"name": "primary", "route": split, **route}, {"name": "other", "route": split}]}
    return {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "app"}, "spec": spec}


def destination_rule(**policy: Any) -> Object:
    spec = {"host": "app", "trafficPolicy": policy}
    return {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": {"name": "app"}, "spec": spec}


WEIGHTS = {"group": "networking.istio.io", "kind": "VirtualService", "jqPathExpressions": [".spec.http[].route[].weight"]}

SUBSETS = WEIGHTS | {"kind": "DestinationRule", "jqPathExpressions": [".spec.subsets[].labels"]}


def application(*differences: Object, options: tuple[str, ...] = ("RespectIgnoreDifferences=true",)) -> Object:
    spec = {"ignoreDifferences": list(differences), "syncPolicy": {"syncOptions": list(options)}}
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "app"}, "spec": spec}


@dataclass(frozen=True)
class Case:
    """`bad` breaks the rule; `good` differs in as little as possible and does not."""

    rule: str
    bad: list[Object]
    good: list[Object]
    options: dict[str, Any] = field(default_factory=dict)
    note: str = ""


def both(success: str, failure: str, **more: Any) -> Object:
    return template(metric(condition=success, failureCondition=failure, **more))


def quantile(limit: str, query: str = "histogram_quantile(0.95, sum by (le) (rate({name}[1m])))", name: str = "") -> Object:
    filled = query.format(name=name or "http_request_duration_seconds_bucket")
    return template(metric(filled, f"len(result) > 0 && result[0] < {limit}"))


def datadog(condition: str) -> Object:
    return template(metric(condition=condition, provider={"datadog": {"apiVersion": "v2", "query": "avg:errors{*}"}}))


CASES = [
    Case("GP101", [template(metric(condition=None))], [template()]),
    Case("GP101", [template(metric(condition=None, provider={"web": {"url": "http://x"}}))],
         [template(metric(condition=None, provider={"job": {"spec": {}}}))], note="a job decides by itself"),
    Case("GP102", [template(metric(condition="result >= 0.99"))],
         [template(metric(condition="result[0] >= 0.99"))], note="the list"),
    Case("GP102", [template(metric(condition="result[0] >="))], [template()], note="syntax"),
    Case("GP102", [template(metric(condition="result[0]"))], [template()], note="no bool"),
    Case("GP102", [template(metric(condition="results[0] > 1"))], [template()], note="another name"),
    Case("GP102", [template(metric(condition="default(result, 0) > 0.99"))], [template()], note="default() gives the list"),
    Case("GP102", [template(metric("scalar(" + ALL + ")", "result[0] > 5"))],
         [template(metric("scalar(" + ALL + ")", "result > 5"))],
         note="a scalar has no index"),
    Case("GP103", [template(metric(condition="result[0] >= 0.99"))], [template()]),
    Case("GP103", [template(metric(condition="!isNaN(result[0]) && len(result) > 0"))], [template()], note="guarded too late"),
    Case("GP103", [template(metric(condition="isNil(result) || result[0] >= 0.99"))],
         [template(metric(condition="len(result) > 0 ? result[0] >= 0.99 : false"))], note="isNil does not help, a ternary does"),
    Case("GP103", [template(metric(ALL, "result[0] > 5"))], [template(metric(f"{ALL} or vector(0)", "result[0] > 5"))],
         note="never empty"),
    Case("GP103", [datadog("!isNil(result) && result < 0.01")], [datadog("default(result, 1) < 0.01")], note="Datadog"),
    Case("GP104", [datadog("default(result, 0) < 0.01")], [datadog("default(result, 1) < 0.01")], note="Datadog"),
    Case("GP104", [template(metric(condition="len(result) == 0 || result[0] >= 0.99"))], [template()]),
    Case("GP104", [template(metric(condition="all(result, # >= 0.99)"))],
         [template(metric(condition="len(result) > 0 && all(result, # >= 0.99)"))], note="all() of nothing is true"),
    Case("GP105", [template(metric(condition=None, failureCondition="len(result) == 0 || result[0] < 0.99"))], [template()]),
    Case("GP105", [template(metric(condition="isNaN(result[0]) || result[0] >= 0.99"))], [template()]),
    Case("GP105", [template(metric(condition=None, failureCondition="len(result) == 0 || result[0] < 0.99"))],
         [template(metric(f"({RATIO}) >= 0", None, failureCondition="len(result) == 0 || result[0] < 0.99"))],
         note="a comparison drops NaN"),
    Case("GP105", [template(metric(condition=None, failureCondition="len(result) == 0 || result[0] < 0.99"))],
         [template(metric(ALL, None, failureCondition="len(result) == 0 || result[0] < 5"))], note="a sum is never NaN"),
    Case("GP106", [both("result[0] >= 0.99", "result[0] < 0.95")], [both("result[0] >= 0.99", "!(result[0] >= 0.99)")]),
    Case("GP106", [both("result[0] >= 0.99", "result[0] < 0.99")], [both("result[0] >= 0.99", "!(result[0] >= 0.99)")],
         note="complementary but for NaN"),
    Case("GP107", [template(metric(condition="len(result) > 0"))], [template()]),
    Case("GP107", [template(metric(condition="len(result) > 0 && result[0] > 1 && result[0] < 1"))], [template()], note="never"),
    Case("GP108", [template(metric(condition="len(result) > 0 && result[0] >= 99"))], [template()]),
    Case("GP108", [template(metric(f"({ERRORS} or vector(0)) / {ALL}", "len(result) > 0 && result[0] < 5"))],
         [template(metric(f"({ERRORS} or vector(0)) / {ALL}", "len(result) > 0 && result[0] < 0.05"))]),
    Case("GP108", [template(metric(f"{RATIO} * 100"))],
         [template(metric(f"{RATIO} * 100", "len(result) > 0 && result[0] >= 99"))]),
    Case("GP109", [template(metric("sum by (pod) (rate(x_total[1m]))", "len(result) > 0 && result[0] < 5"))],
         [template(metric("sum by (pod) (rate(x_total[1m]))", "len(result) > 0 && all(result, # < 5)"))]),
    Case("GP109", [template(metric("rate(x_total[1m])", "len(result) > 0 && result[0] < 5"))],
         [template(metric('sum by (app) (rate(x_total{app="a"}[1m]))', "len(result) > 0 && result[0] < 5"))], note="pinned"),
    Case("GP201", [template(metric("sum(rate(x[1m])"))], [template(metric("sum(rate(x[1m]))"))]),
    Case("GP201", [template(metric("rate(x)"))],
         [template(metric("rate(x[{{args.window}}])", args=None))], note="unknown argument"),
    Case("GP202", [template(metric(f"({ERRORS} / {ALL}) or vector(0)", "result[0] < 0.01"))],
         [template(metric(f"({ERRORS} or vector(0)) / {ALL}", "result[0] < 0.01"))]),
    Case("GP202", [template(metric(f"({ERRORS} / {ALL}) or on() vector(0)", "result[0] < 0.01"))],
         [template(metric(f"({RATIO}) or vector(0)"))], note="a stand-in that fails is harmless"),
    Case("GP203", [template(metric(f"{ERRORS} / {ALL}", "len(result) > 0 && result[0] < 0.01"))],
         [template(metric(f"({ERRORS} or vector(0)) / {ALL}", "len(result) > 0 && result[0] < 0.01"))]),
    Case("GP203", [template(metric(f"1 - ({ERRORS} / {ALL})"))], [template()], note="successes are there when all is well"),
    Case("GP204", [quantile("0.3")], [quantile("0.25")]),
    Case("GP204", [quantile("0.3")], [quantile("0.3")], note="--buckets"),
    Case("GP204", [quantile("300", name="istio_request_duration_milliseconds_bucket")],
         [quantile("250", name="istio_request_duration_milliseconds_bucket")]),
    Case("GP204", [quantile("300", "histogram_quantile(0.95, sum by (le) (rate({name}[1m]))) * 1000")],
         [quantile("250", "histogram_quantile(0.95, sum by (le) (rate({name}[1m]))) * 1000")], note="scaled"),
    Case("GP204", [quantile("0.3")], [quantile("0.3", name="payload_bytes_bucket")], note="nobody knows these bounds"),
    Case("GP205", [quantile("0.25", "histogram_quantile(0.95, sum(rate({name}[1m])))")], [quantile("0.25")]),
    Case("GP205", [quantile("0.25", "histogram_quantile(0.95, sum without (le) (rate({name}[1m])))")],
         [quantile("0.25", "histogram_quantile(0.95, sum without (pod) (rate({name}[1m])))")]),
    Case("GP206", [template(metric('sum(rate(istio_request_duration_milliseconds_bucket{le="300"}[1m]))'))],
         [template(metric('sum(rate(istio_request_duration_milliseconds_bucket{le="+Inf"}[1m]))'))]),
    Case("GP206", [template(metric('sum(rate(x_seconds_bucket{le="0.3"}[1m]))'))],
         [template(metric('sum(rate(x_seconds_bucket{le="0.25"}[1m]))'))], {"buckets": (0.1, 0.25)}),
    Case("GP207", [template(metric('sum(rate(x_seconds_bucket{le="1"}[1m]))'))],
         [template(metric('sum(rate(x_seconds_bucket{le="1.0"}[1m]))'))]),
    Case("GP208", [template(metric('sum(rate(x_total{job="api"}[1m]))', "len(result) > 0 && result[0] > 5"))], [template()]),
    Case("GP208", [template(metric("sum(rate(x_total[1m]))"), args=[]), rollout([{"setWeight": 10}, {"analysis": analysis()}])],
         [template(metric('sum(rate(x_total{subset="canary"}[1m]))'), args=[]), rollout()]),
    Case("GP208",
         [template(metric('sum(rate(x_total{service="{{args.service}}"}[1m]))'), args=[{"name": "service"}]),
          rollout([{"setWeight": 10}, {"analysis": analysis({"name": "service", "value": "app"})}])],
         [template(metric('sum(rate(x_total{service="{{args.service}}"}[1m]))'), args=[{"name": "service"}]),
          rollout([{"setWeight": 10}, {"analysis": analysis({"name": "service", "value": "app-new"})}],
                  canary={"canaryService": "app-new"})], note="an argument that names everybody"),
    Case("GP209", [template(metric(RATIO.replace("1m", "45s")))], [template()]),
    Case("GP209", [template()], [template(metric(RATIO.replace("1m", "2m"), initialDelay="2m"))], {"scrape_interval": 30.0}),
    Case("GP210", [template(metric("avg(rate(a_total[1m]) / rate(b_total[1m]))"))],
         [template(metric("sum(rate(a_total[1m])) / sum(rate(b_total[1m]))"))]),
    Case("GP210", [template(metric("avg(histogram_quantile(0.9, sum by (le, pod) (rate(x_bucket[1m]))))"))],
         [template(metric("avg(rate(a_total[1m]))"))]),
    Case("GP301", [template(metric(count=3))], [template(metric(count=3, interval="60s"))], note="count without interval"),
    Case("GP301", [template(metric(initialDelay="1d"))], [template(metric(initialDelay="24h"))], note="no duration"),
    Case("GP301", [template(metric(initialDelay=60))], [template(metric(initialDelay="60s"))], note="a number"),
    Case("GP301", [template(metric(failureLimit=-1))],
         [template(metric(failureLimit=-1, count=3, interval="60s", consecutiveSuccessLimit=3))]),
    Case("GP301", [template(metric(), metric())], [template(metric(), metric(name="other"))], note="two of one name"),
    # Python warns of a set that begins like this, Go does not: not the user's business.
    Case("GP301", [template(dryRun=[{"metricName": "[[]"}])], [template(dryRun=[])]),
    Case("GP301", [template(dryRun=[{"metricName": "*"}])], [template(metric(), metric(name="b"), dryRun=[{"metricName": "b"}])],
         note="a dry run is a regular expression"),
    Case("GP301", [template(metric(provider={}))], [template()]),
    Case("GP302", [template(metric(failureLimit=1))], [template()]),
    Case("GP302", [template(metric(count=3, interval="60s", failureLimit=3))],
         [template(metric(count=3, interval="60s", failureLimit=2))]),
    Case("GP303", [both("result[0] >= 0.99", "result[0] < 0.95", inconclusiveLimit=1)],
         [both("result[0] >= 0.99", "result[0] < 0.95")]),
    Case("GP304", [template(metric(count=None, interval="60s")), rollout()],
         [template(metric(count=3, interval="60s")), rollout()]),
    Case("GP304", [template(metric(count=None, interval="60s")), blue_green(prePromotionAnalysis=analysis())],
         [template(metric(count=None, interval="60s")),
          rollout([{"pause": {"duration": "5m"}}], canary={"analysis": analysis()})],
         note="a background analysis has no end of its own"),
    Case("GP305", [template(metric(initialDelay=None))], [template()]),
    Case("GP305", [template(metric(initialDelay=None)), rollout()],
         [template(metric(initialDelay=None)),
          rollout([{"setWeight": 10}, {"pause": {"duration": 60}}, {"analysis": analysis()}])], note="a pause waits as well"),
    Case("GP305", [template(metric(f"{ALL} - sum(rate(x_total[1m] offset 1m))"))],
         [template(metric("sum(last_over_time(x_total[5m]) - last_over_time(x_total[5m] offset 1m))"))],
         note="an offset counts, how old a value may be does not"),
    Case("GP305", [template(metric(initialDelay=None)), rollout(canary={"analysis": analysis()})],
         [template(metric(initialDelay=None)),
          rollout([{"setWeight": 10}, {"pause": {"duration": "1m"}}], canary={"analysis": analysis(startingStep=2)})],
         note="in the background, from a later step on"),
    Case("GP306", [template(), rollout([{"setWeight": 10}, {"pause": {"duration": "30s"}}], canary={"analysis": analysis()})],
         [template(), rollout([{"setWeight": 10}, {"pause": {"duration": "5m"}}], canary={"analysis": analysis()})]),
    Case("GP307", [template(dryRun=[{"metricName": ".*"}])],
         [template(metric(), metric(name="b"), dryRun=[{"metricName": "b"}])]),
    Case("GP307", [template(), rollout([{"setWeight": 10}, {"analysis": analysis(dryRun=[{"metricName": "success-rate"}])}])],
         [template(), rollout()]),
    Case("GP308", [template(metric(consecutiveErrorLimit=0))], [template(metric(consecutiveErrorLimit=2))]),
    Case("GP309", [template(metric(consecutiveErrorLimit=100))], [template(metric(consecutiveErrorLimit=30))]),
    Case("GP310", [template(metric(count=20, interval="60s"))],
         [template(metric(count=20, interval="60s"), measurementRetention=[{"metricName": "success-.*", "limit": 20}])]),
    Case("GP311", [template(metric(count=3, interval="5m"))], [template(metric(count=3, interval="60s"))]),
    Case("GP401", [rollout([{"setWeight": 10}, {"pause": {"duration": 60}}])], [rollout([{"setWeight": 10}, {"pause": {}}])],
         note="a person decides"),
    Case("GP401", [rollout([])], [rollout()]),
    Case("GP401", [blue_green()], [blue_green(autoPromotionEnabled=False)]),
    Case("GP402", [rollout([*STEPS, {"setWeight": 50}])], [rollout([*STEPS, {"setWeight": 50}, {"analysis": analysis()}])]),
    Case("GP402", [rollout([{"setWeight": 10}, {"setWeight": 50}, {"analysis": analysis()}])],
         [rollout([*STEPS, {"setWeight": 100}])]),
    Case("GP403", [rollout([{"analysis": analysis()}, *STEPS])],
         [rollout([{"setCanaryScale": {"weight": 5}}, {"analysis": analysis()}, *STEPS])]),
    Case("GP404", [rollout(rollbackWindow={"revisions": 3})], [rollout()]),
    Case("GP405", [rollout(canary={**ISTIO, "dynamicStableScale": True})], [rollout(canary=ISTIO)]),
    Case("GP406", [rollout(canary={**ISTIO, "scaleDownDelaySeconds": 0})],
         [rollout(canary={**ISTIO, "scaleDownDelaySeconds": 30})]),
    Case("GP406", [blue_green(scaleDownDelaySeconds=0)], [blue_green()]),
    Case("GP407", [rollout(progressDeadlineAbort=False)], [rollout()]),
    Case("GP408", [template(), rollout([{"setWeight": 10}, {"analysis": {"templates": [{"templateName": "slo"}]}}])],
         [template(), rollout()], note="no value"),
    Case("GP408", [template(), rollout([{"setWeight": 10}, {"analysis": analysis(HASH, {"name": "hsah", "value": "x"})}])],
         [template(), rollout()], note="dropped without a word"),
    Case("GP408", [template(args=[])], [template()], note="not declared"),
    Case("GP409", [rollout(progressDeadlineSeconds=10, minReadySeconds=10)],
         [rollout(progressDeadlineSeconds=11, minReadySeconds=10)]),
    Case("GP409", [rollout(canary={"scaleDownDelaySeconds": 30})], [rollout(canary={**ISTIO, "scaleDownDelaySeconds": 30})]),
    Case("GP501", [rollout(canary=SERVICES)], [rollout(canary=ISTIO)]),
    Case("GP502", [rollout(canary=ISTIO), virtual_service()], [rollout(canary=ISTIO), virtual_service(retries={"attempts": 0})]),
    Case("GP503", [rollout(canary=ISTIO), destination_rule(outlierDetection={"consecutive5xxErrors": 5})],
         [rollout(canary=ISTIO), destination_rule()]),
    Case("GP601", [application({"group": "*", "kind": "Rollout", "managedFieldsManagers": ["rollouts-controller"]})],
         [application(WEIGHTS)]),
    Case("GP602", [application(WEIGHTS, options=())], [application(WEIGHTS)]),
    Case("GP602", [application(), rollout(canary=SERVICES)], [application(WEIGHTS), rollout(canary=SERVICES)]),
    Case("GP602", [application(WEIGHTS), rollout(canary=ISTIO)], [application(WEIGHTS, SUBSETS), rollout(canary=ISTIO)],
         note="the subsets' labels"),
]
