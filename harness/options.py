"""The options that commands share, checked where they come in."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import yaml

import harness
from harness.errors import UsageError
from harness.faults import FAULTS
from harness.files import is_file, refuse_no_folder, refuse_unwritable
from harness.paths import FOLDER, PATH
from harness.plain import value_of
from harness.platforms.catalog import PLATFORMS, PORTS, PlatformOptions, refuse_foreign
from harness.platforms.existing import options as existing
from harness.platforms.local.paths import RunPaths
from harness.report_folder import RECORDS, REPORTS
from harness.supervisor.ports import is_free

CHART = Path(harness.__file__).parents[1] / "charts" / "webapp"
LOCUST_WEB_PORT = 8089
MOST_KEYS = 50
"""In the dotted path of a chart value; no chart is nested half as deeply."""
REPORT_FILES = frozenset({*REPORTS, *RECORDS})
"""What a run leaves in its report folder, and replaces in the next one that is sent there."""


@dataclass(frozen=True, kw_only=True)
class Common:
    """What `success` and `failure` have in common."""

    platform: PlatformOptions
    window: int
    rps: float
    users: int | None
    seed: int
    timeout: int | None
    report_dir: Path | None
    output: str
    keep: bool
    color: bool
    web: bool
    chart: Path
    values: tuple[Path, ...]
    set_values: tuple[str, ...]


def platform_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that name a platform; the command gets them as `platform`."""

    @click.option("--platform", "name", type=click.Choice(sorted(PLATFORMS)), default="local", show_default=True)
    @click.option("--run-dir", type=FOLDER, default=Path(".gateproof"), show_default=True,
                  help="Folder of this run: keys, kubeconfig, data, logs.")
    @click.option("--gateway-port", type=click.IntRange(1024, 65535), default=8081, show_default=True)
    @click.option("--registry-port", type=click.IntRange(1024, 65535), default=5001, show_default=True)
    @existing.existing_options
    @functools.wraps(command)
    def wrapped(*args: Any, name: str, run_dir: Path, gateway_port: int, registry_port: int, **kwargs: Any) -> Any:
        own = {key: kwargs.pop(key) for key in existing.NAMES}
        source, by_default = click.get_current_context().get_parameter_source, click.core.ParameterSource.DEFAULT
        typed = {key for key in own.keys() | PORTS if source(key) is not by_default}
        options = PlatformOptions(
            name=name, run_dir=run_dir.absolute(), gateway_port=gateway_port, registry_port=registry_port,
            given={key: own.get(key) for key in typed},
        )
        refuse_foreign(options)
        refuse_no_folder(run_dir, option="--run-dir")
        RunPaths(root=options.run_dir).refuse_foreign()
        if gateway_port == registry_port:
            raise UsageError(f"--gateway-port and --registry-port are both {gateway_port}: give them two")
        return command(*args, platform=options, **kwargs)

    return wrapped


def gitops_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option that asks for Argo CD; it stands below those that make `platform` or `common`, and completes them."""

    @click.option("--gitops", is_flag=True, help="With Argo CD: a release is a commit that it syncs.")
    @functools.wraps(command)
    def wrapped(*args: Any, gitops: bool, **kwargs: Any) -> Any:
        if "common" in kwargs:
            common: Common = kwargs["common"]
            kwargs["common"] = replace(common, platform=replace(common.platform, gitops=gitops))
            refuse_foreign(kwargs["common"].platform)
        else:
            kwargs["platform"] = replace(kwargs["platform"], gitops=gitops)
            refuse_foreign(kwargs["platform"])
        return command(*args, **kwargs)

    return wrapped


def ready_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that name a file of ready programs; they stand below those that make `platform`, and complete it."""

    @click.option("--binaries", metavar="FILE", help="Unpack the programs from this file or https address, and compile nothing.")
    @click.option("--sha256", metavar="HEX", help="Its checksum [default: the .sha256 file beside it].")
    @functools.wraps(command)
    def wrapped(*args: Any, binaries: str | None, sha256: str | None, platform: PlatformOptions, **kwargs: Any) -> Any:
        given = {name: text for name, text in (("binaries", binaries), ("sha256", sha256)) if text is not None}
        completed = replace(platform, given={**platform.given, **given})
        refuse_foreign(completed)
        return command(*args, platform=completed, **kwargs)

    return wrapped


def common_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a scenario; the command gets them as `common`."""

    @platform_options
    @click.option("--window", type=click.IntRange(5, 3600), default=60, show_default=True, help="Seconds of analysis a step.")
    @click.option("--rps", type=float, default=50.0, show_default=True, help="Users' requests per second, in total.")
    @click.option("--users", type=click.IntRange(1, 10_000), help="Requests under way at once (default: by rate).")
    @click.option("--seed", type=click.IntRange(0, 2**53), default=0, show_default=True, help="Of faults and arrivals.")
    @click.option("--timeout", type=click.IntRange(1, 86_400), help="Seconds for the release (default: by the windows).")
    @click.option("--report-dir", type=FOLDER, help="For reports and records.")
    @click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
    @click.option("--keep", is_flag=True, help="Leave the platform and the release running afterwards.")
    @click.option("--no-color", is_flag=True)
    @click.option("--web", is_flag=True, help=f"Open Locust's web UI on 127.0.0.1:{LOCUST_WEB_PORT} during the run.")
    @click.option("--chart", type=PATH, default=CHART, help="Another chart than our own.")
    @click.option("--values", type=PATH, multiple=True, help="A values file for the chart (repeatable).")
    @click.option("--set", "set_values", multiple=True, metavar="KEY=VALUE", help="A chart value, such as slo.successRate=0.999.")
    @functools.wraps(command)
    def wrapped(*args: Any, platform: PlatformOptions, window: int, rps: float, users: int | None, seed: int,
                timeout: int | None, report_dir: Path | None, output: str, keep: bool, no_color: bool, web: bool,
                chart: Path, values: tuple[Path, ...], set_values: tuple[str, ...], **kwargs: Any) -> Any:
        common = Common(
            platform=platform, window=window, rps=rps, users=users, seed=seed, timeout=timeout, report_dir=report_dir,
            output=output, keep=keep, color=not no_color, web=web, chart=chart, values=values, set_values=set_values,
        )
        return command(*args, common=common, **kwargs)

    return wrapped


def fault_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say what v1.1 does wrong; the command gets them as `injected`, keywords of `harness.scenario.failure`.

    It is empty when none of them was given.
    """

    @click.option("--error-rate", type=float, metavar="PCT", help="Percent of v1.1's answers that are errors.")
    @click.option("--latency-ms", type=float, metavar="MS", help="Milliseconds that every answer of v1.1 takes longer.")
    @click.option("--fault", type=click.Choice(list(FAULTS)), help="Another fault: docs/faults.md has them all.")
    @click.option("--fault-setting", "settings", multiple=True, metavar="KEY=VALUE", help="Its size, such as hang_rate=20.")
    @functools.wraps(command)
    def wrapped(*args: Any, settings: tuple[str, ...], error_rate: float | None, latency_ms: float | None, fault: str | None,
                **kwargs: Any) -> Any:
        given = {
            "error_rate": error_rate, "latency_ms": latency_ms, "fault": fault,
            "settings": parse_numbers(settings, option="--fault-setting") or None,
        }
        injected = {name: value for name, value in given.items() if value is not None}
        return command(*args, injected=injected, **kwargs)

    return wrapped


def disturb_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """What is done to the platform meanwhile; the command gets it as `disturb`, for `harness.disturbances.parse_all`."""
    return click.option(
        "--disturb", multiple=True, metavar="NAME[@WEIGHT|@each][:SECONDS]",
        help="Kill a part of the platform at this canary weight, and start it again so much later: docs/disturbances.md.",
    )(command)


def options_of(common: Common) -> Any:
    """The run's options, with files looked at; nothing is made yet, since much can be refused still. Raises UsageError."""
    from harness.chart import refuse_values_file  # noqa: PLC0415
    from harness.platforms.local.paths import cache_root  # noqa: PLC0415
    from harness.run import Options  # noqa: PLC0415 -- `--help` should not wait for what only a run needs

    if not is_file(common.chart / "Chart.yaml"):
        raise UsageError(f"--chart {common.chart}: there is no Chart.yaml in it")
    for file in common.values:
        refuse_values_file(file)
    user_values = parse_set(common.set_values)
    refuse_unwritable(common.platform.run_dir, option="--run-dir", folder=True)
    if common.report_dir:
        report_dir = common.report_dir.absolute()
        refuse_unwritable(report_dir, option="--report-dir", folder=True)
        if report_dir.is_dir() and any(each.name not in REPORT_FILES for each in report_dir.iterdir()):
            raise UsageError(f"--report-dir {report_dir} holds things that are no report: choose a new or an empty folder")
    else:
        report_dir = next_report_dir(common.platform.run_dir / "reports")
    return Options(
        chart=common.chart.absolute(), values_files=tuple(v.absolute() for v in common.values),
        user_values=user_values, users=common.users, timeout=common.timeout, keep=common.keep,
        report_dir=report_dir, web_port=free_web_port() if common.web else None, cache=cache_root(),
        gitops=common.platform.gitops,
    )


def next_report_dir(root: Path) -> Path:
    """The first of run-1, run-2 … that is not there yet."""
    number = 1
    while (root / f"run-{number}").exists():
        number += 1
    return root / f"run-{number}"


def free_web_port() -> int:
    """Locust's usual web port. Raises UsageError when somebody has it."""
    if not is_free("127.0.0.1", LOCUST_WEB_PORT):
        raise UsageError(f"--web: port 127.0.0.1:{LOCUST_WEB_PORT} is taken: stop what listens there")
    return LOCUST_WEB_PORT


def parse_set(pairs: tuple[str, ...]) -> dict[str, Any]:
    """`slo.successRate=0.99` as a tree of typed values; values are read as YAML. Raises UsageError."""
    tree: dict[str, Any] = {}
    for pair in pairs:
        path, equals, text = pair.partition("=")
        keys = path.split(".")
        if not equals or not all(map(str.strip, keys)) or len(keys) > MOST_KEYS:
            raise UsageError(f"--set {pair}: give KEY=VALUE, such as slo.successRate=0.999")
        try:
            value = value_of(text)
        except (yaml.YAMLError, ValueError):
            raise UsageError(f"--set {pair}: the value is not one that JSON could hold: put a text into quotes") from None
        place = tree
        for key in keys[:-1]:
            place = place.setdefault(key, {})
            if not isinstance(place, dict):
                raise UsageError(f"--set {pair}: {key} was given a value of its own before")
        place[keys[-1]] = value
    return tree


def parse_numbers(pairs: tuple[str, ...], *, option: str) -> dict[str, float]:
    """`hang_rate=20` as a name and a number. Raises UsageError."""
    numbers: dict[str, float] = {}
    for pair in pairs:
        key, _, text = pair.partition("=")
        if key in numbers:
            raise UsageError(f"{option} {pair}: {key} was given before")
        try:
            numbers[key] = float(text if key else "")
        except ValueError:
            raise UsageError(f"{option} {pair}: give KEY=NUMBER, such as hang_rate=20") from None
    return numbers
