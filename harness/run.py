"""The story of one scenario: platform, images, stable version, load, release, observation, verdict, report."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

from harness.chart import Helm
from harness.collect import PrometheusMonitor, observation_of
from harness.disturber import Disturber, hand_for
from harness.errors import PlatformError, UsageError
from harness.faults import Effect
from harness.load import Load, LoadSpec
from harness.observation import Observation
from harness.platforms import Endpoints, Images, Platform
from harness.platforms.local.paths import make_private
from harness.preload import preload
from harness.quiet import after_seconds, quiet_row, row_at_the_end
from harness.release import (
    RELEASE,
    Chart,
    Delivery,
    Gateway,
    at_rest,
    canary_weight,
    is_decided,
    is_going,
    is_gone,
    is_served,
    is_stable,
    merged,
    rests_since,
    scenario_values,
    silence_tells,
    stable_hash,
    wait_for,
    why_not_ready,
)
from harness.report_folder import clear_report, forget_report
from harness.rig import released_image, rigged
from harness.scenario import Scenario
from harness.supply import supply
from harness.variants import BuiltImage, Faults, Variant
from harness.verdict import Verdict, judge
from harness.verdict.experiment import MIN_BASELINE_REQUESTS
from harness.watch import Watcher

SHORT_WINDOW_SECONDS = 30.0
QUIET_SECONDS = 12.5
"""Prometheus tells its scraper of new pods at once after a quiet time, but up to 7.5 s late after a busy one (why:
PrometheusMonitor.discovery_rests). A long window bears that; before a short one the pods are left in peace for this long and
until the discovery rests, or half of the window would go unmeasured."""
READY_SECONDS = 60.0
BASELINE_SECONDS = 0.5
"""Load before the release, at the least: the stable version's own record."""
BASELINE_LIMIT_SECONDS = 400.0
"""At the lowest rate the baseline alone takes some minutes."""
REST_SECONDS = 10.0
"""How much longer the weights may take to be back; beyond that they are judged as they are."""
FINAL_SAMPLES = 60
STEP_OVERHEAD_SECONDS = 40.0
"""What a step may take beyond its window: pods, weights, and four retried queries of 10 s each before an analysis errs."""
POLL_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the user chose besides the scenario itself."""

    chart: Path
    values_files: tuple[Path, ...] = ()
    user_values: Mapping[str, Any] = field(default_factory=dict)
    users: int | None = None
    timeout: float | None = None
    """Seconds for the whole release; None derives it from the windows."""
    keep: bool = False
    report_dir: Path
    web_port: int | None = None
    cache: Path
    gitops: bool = False
    """Whether the release is a commit that Argo CD syncs."""


Say = Callable[[str], None]
Show = Callable[[Watcher, Load, float | None], None]
"""Called often while a release runs, with the moment at which it was asked for, None before that."""
Tell = Callable[[Observation, Verdict], None]
"""Called with the verdict while the platform is still up, so that nothing that happens afterwards can lose it."""


def deadline_of(scenario: Scenario, options: Options) -> float:
    """Seconds within which the release must have been decided."""
    if scenario.decided_by_deadline:
        return options.timeout or scenario.progress_deadline_seconds + STEP_OVERHEAD_SECONDS
    return options.timeout or len(scenario.steps) * (scenario.window_seconds + STEP_OVERHEAD_SECONDS) + READY_SECONDS


def run(scenario: Scenario, options: Options, platform: Platform, *, say: Say, show: Show, tell: Tell) -> Verdict:
    """Run one scenario. Raises a HarnessError for whatever kept the release from being judged."""
    forget_report(options.report_dir)
    hand_for(scenario.disturbances, platform)
    platform.setup(say)
    preload("harness.kube")
    refuse_bad_chart(scenario, options, platform)
    with platform.session(say, keep=options.keep) as endpoints:
        make_private(options.report_dir, option="--report-dir")
        clear_report(options.report_dir)
        stage = Stage(scenario=scenario, options=options, platform=platform, endpoints=endpoints, say=say, show=show)
        observation = stage.play()
        verdict = judge(scenario, observation)
        tell(observation, verdict)
        return verdict


def refuse_bad_chart(scenario: Scenario, options: Options, platform: Platform) -> None:
    """Render the chart before anything is started. Raises UsageError when it does not render, or renders no Rollout."""
    with tempfile.TemporaryDirectory() as home:
        helm = Helm(binary=platform.tools()["helm"], kubeconfig=Path(os.devnull), home=Path(home))
        try:
            objects = helm.template(
                RELEASE, "preflight", options.chart, values_files=(*platform.values_files(), *options.values_files),
                set_values=merged(scenario_values(scenario), options.user_values),
            )
        except PlatformError as error:
            raise UsageError(str(error)) from None
    if not any(each.get("kind") == "Rollout" and each.get("metadata", {}).get("name") == RELEASE for each in objects):
        raise UsageError(f"--chart {options.chart}: it renders no Rollout named {RELEASE}")
    platform.foresee(objects)


@dataclass(kw_only=True)
class Stage:
    """One release on a platform that is up."""

    scenario: Scenario
    options: Options
    platform: Platform
    endpoints: Endpoints
    say: Say
    show: Show
    released_at: float | None = None

    def play(self) -> Observation:
        """From images to everything that was seen."""
        stable, candidate = self._images()
        with rigged(self.scenario.fault.rig, self.endpoints.prometheus_url) as values:
            return self._play(stable, candidate, self._delivery(self._chart(values)))

    def _delivery(self, chart: Chart) -> Delivery:
        """How a version is handed over: by helm, or by a commit that Argo CD syncs."""
        place = self.endpoints.gitops
        if place is None:
            if self.options.gitops:
                raise UsageError(f"--gitops: the platform {self.platform.name} has no Argo CD")
            return chart
        from harness.gitops.delivery import GitDelivery  # noqa: PLC0415 -- only where there is an Argo CD

        delivery = GitDelivery(chart=chart, place=place, endpoints=self.endpoints, check=self.platform.check, say=self.say)
        if self.options.gitops:
            return delivery
        delivery.remove()
        return chart

    def _play(self, stable: BuiltImage, candidate: BuiltImage, chart: Delivery) -> Observation:
        gateway, load = Gateway(self.endpoints), self._load()
        with contextlib.ExitStack() as stack:
            stack.callback(load.stop)
            load.prepare()
            chart.remove()
            at = self.endpoints
            watcher = Watcher(kubeconfig=at.kubeconfig, context=at.context, namespace=at.namespace)
            stack.callback(watcher.stop)
            watcher.start()
            self._install(chart, watcher, gateway, stable)
            with load, PrometheusMonitor(at.prometheus_url) as prometheus:
                return self._release(
                    chart=chart, watcher=watcher, gateway=gateway, load=load, prometheus=prometheus, stable=stable,
                    candidate=candidate,
                )

    def _images(self) -> tuple[BuiltImage, BuiltImage]:
        scenario, crane = self.scenario, self.platform.tools()["crane"]
        settings: dict[str, Any] = dict(scenario.fault.settings)
        faults, healthy = Faults(**settings, seed=scenario.seed), Faults(seed=scenario.seed)
        source = self.endpoints.images or Images(registry=self.endpoints.registry)
        stable, candidate = (
            supply(Variant(tag=tag, faults=its), source, given=given, crane=crane, cache=self.options.cache)
            for tag, its, given in (
                (scenario.stable, healthy, source.stable), (scenario.candidate, faults, source.candidate)
            )
        )  # fmt: skip
        for image in (stable, candidate):
            self.say(f"image {image.reference}")
        return stable, released_image(scenario.fault.rig, candidate)

    def _chart(self, rig_values: Mapping[str, Any]) -> Chart:
        helm = Helm(
            binary=self.platform.tools()["helm"], kubeconfig=self.endpoints.kubeconfig, context=self.endpoints.context,
            home=self.endpoints.scratch, creates_namespace=self.endpoints.makes_namespace,
        )
        return Chart(
            helm=helm, path=self.options.chart, namespace=self.endpoints.namespace,
            values_files=(*self.platform.values_files(), *self.options.values_files),
            values=merged(self.platform.values(), self.endpoints.values, scenario_values(self.scenario), rig_values),
            user_values=self.options.user_values,
        )

    def _install(self, chart: Delivery, watcher: Watcher, gateway: Gateway, stable: BuiltImage) -> None:
        gone = is_gone if self.scenario.window_seconds < SHORT_WINDOW_SECONDS else is_going
        within: dict[str, Any] = {"timeout": self.endpoints.ready_seconds, "check": self.platform.check}
        wait_for(lambda: gone(watcher), what="the removal of an earlier release", **within)
        chart.apply(stable, trial=f"{uuid.uuid4().hex[:8]}-stable")
        wait_for(
            lambda: is_stable(watcher, stable.reference) and is_served(watcher, gateway, self.scenario.stable),
            what=f"{self.scenario.stable} stable and served by the gateway", hint=lambda: why_not_ready(watcher), **within,
        )
        self.say(f"{self.scenario.stable} is stable and served")

    def _load(self) -> Load:
        scenario, options = self.scenario, self.options
        spec = LoadSpec(
            url=self.endpoints.gateway_url, host_header=self.endpoints.host, rps=scenario.rps, users=options.users,
            seed=scenario.seed, worst_latency_seconds=scenario.worst_latency_seconds,
            duration_limit_seconds=deadline_of(scenario, options) + 60, web_ui_port=options.web_port, reports=True,
            allow_host=self.endpoints.load_host,
        )
        return Load(
            spec=spec, folder=options.report_dir / "load", python=sys.executable,
            before_start=lambda: self.platform.verify_load_target(self.endpoints),
        )

    def _release(
        self, *, chart: Delivery, watcher: Watcher, gateway: Gateway, load: Load, prometheus: PrometheusMonitor,
        stable: BuiltImage, candidate: BuiltImage,
    ) -> Observation:
        load_started = time.time()
        self.say(f"load: {self.scenario.rps:g} requests/s through {self.endpoints.gateway_url}")
        if self.options.web_port:
            self.say(f"Locust's web UI: http://127.0.0.1:{self.options.web_port}")
        self._watch(
            watcher, load, deadline=BASELINE_LIMIT_SECONDS,
            until=lambda: self._baseline_done(watcher, load, prometheus, load_started),
        )
        disturber = Disturber(wanted=self.scenario.disturbances, platform=self.platform, load=load, say=self.say)
        stable_revision = stable_hash(watcher)
        released_at = self.released_at = time.time()
        self.say(f"releasing {self.scenario.candidate}; expected: {self.scenario.promise}")
        chart.apply(candidate, trial=uuid.uuid4().hex[:8])

        def tick() -> None:
            chart.tick(watcher, self.scenario.steps[0])
            disturber.tick(canary_weight(watcher))

        preload("scipy.special", "harness.replay.record", "harness.report_files")  # for the end
        decided = self._watch(
            watcher, load, until=lambda: is_decided(watcher, candidate.reference),
            deadline=deadline_of(self.scenario, self.options), tick=tick,
        )
        decided_at = time.time()
        if decided:
            self._watch(
                watcher, load, deadline=after_seconds(self.scenario) + REST_SECONDS + disturber.longest,
                until=lambda: at_rest(watcher) and disturber.settled() and self._seen_safe(watcher, load, decided_at),
            )
        load_ended = time.time()
        load.stop()
        # A candidate that comes and goes is asked over some of its rounds.
        samples = gateway.sample(FINAL_SAMPLES, pause=0.2 if self.scenario.fault.effect is Effect.OUTAGE else 0.0)
        self._keep(watcher, released_at)
        observation = observation_of(
            watcher=watcher, load=load, scenario=self.scenario, endpoints=self.endpoints, stable=stable, candidate=candidate,
            stable_hash=stable_revision, released_at=released_at, decided_at=decided_at if decided else None,
            load_started=load_started, load_ended=load_ended, samples=samples, disturbed=disturber.told(),
            prometheus_ok=prometheus.ok,
        )
        return chart.conclude(observation, watcher, gateway.sample)

    def _keep(self, watcher: Watcher, released_at: float) -> None:
        """Write down what `harness gate --replay` needs; that it could not is worth a line, and no verdict."""
        from harness.replay.record import keep  # noqa: PLC0415 -- preloaded

        runs = {seen.name: seen.object for seen in watcher.history("analysisruns")}.values()
        why = keep(self.options.report_dir, runs, since=released_at, prometheus_url=self.endpoints.prometheus_url)
        if why:
            self.say(f"note: {why}")

    def _baseline_done(self, watcher: Watcher, load: Load, prometheus: PrometheusMonitor, load_started: float) -> bool:
        now = time.time()
        if now - load_started < BASELINE_SECONDS or len(load.records()) < 2 * MIN_BASELINE_REQUESTS:
            return False
        if self.scenario.window_seconds >= SHORT_WINDOW_SECONDS:
            return True
        pods = watcher.history("pods")
        return (not pods or now - pods[-1].at >= QUIET_SECONDS) and prometheus.discovery_rests()

    def _seen_safe(self, watcher: Watcher, load: Load, decided_at: float) -> bool:
        """Whether users were watched for long enough, or a row of answers shows already that the loser is gone."""
        long_enough = time.time() - decided_at >= after_seconds(self.scenario)
        row = quiet_row(self.scenario) if silence_tells(watcher, self.endpoints) else None
        if long_enough or row is None:
            return long_enough
        since = max(decided_at, rests_since(watcher))
        recent = takewhile(lambda each: each["at"] >= since, reversed(load.records()))
        answers = ((each["started"], each["version"]) for each in recent if each["started"] >= since)
        return row_at_the_end(answers, self.scenario.final_version) >= row

    def _watch(
        self, watcher: Watcher, load: Load, *, until: Callable[[], bool], deadline: float, tick: Callable[[], None] = lambda: None
    ) -> bool:
        """Show what happens until the condition holds (True) or the deadline passes (False); `tick` is called each time."""
        end = time.monotonic() + deadline
        while not until():
            self.platform.check()
            tick()
            load.poll()
            self.show(watcher, load, self.released_at)
            if time.monotonic() > end:
                return False
            time.sleep(POLL_SECONDS)
        return True
