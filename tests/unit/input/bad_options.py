"""The table: for every option of every command, values that nobody can mean; and options that contradict each other.

`{name}` in a value is a path of the world (input_world.py). A row may say a word that its error must have in it; by default it
must name the option or the value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import click

from harness.cli import cli

DIGITS = "9" * 5000


@dataclass(frozen=True, kw_only=True)
class Bad:
    """A command line that must be refused. `told` is a part of what must be said."""

    command: str
    argv: tuple[str, ...]
    told: tuple[str, ...]

    def __str__(self) -> str:
        """The test's name."""
        return " ".join(self.argv).encode("unicode_escape").decode()[:70]


def group(*commands: str) -> tuple[str, ...]:
    return commands


RUNS = group("success", "failure", "trials")
ON_PLATFORMS = group(*RUNS, "matrix", "up", "down", "status", "plan", "setup", "dashboards")
EXISTING = {
    "--platform": "existing", "--context": "team", "--kubeconfig": "{kubeconfig}", "--gateway-url": "http://192.0.2.2",
    "--prometheus-url": "http://192.0.2.3:9090", "--registry": "registry.example",
}  # fmt: skip
BASE: dict[str, tuple[str, ...]] = {
    "lint": ("{gate}",), "oc": ("{gate}", "--weights", "10,30"), "gate": ("{gate}", "--series", "{series}"),
    "bump": ("--image", "{image}", "--checkout", "{checkout}"), "role": ("--namespace", "canary", "--user", "ann"),
    "matrix": (), "binaries pack": (), **dict.fromkeys((*RUNS, "up", "down", "status", "plan", "setup", "dashboards"), ()),
}  # fmt: skip
"""What makes a command whole, so that the bad value is all that is wrong with it."""

FLOATS = ("nan", "inf", "-inf", "1e400", "-1", "", "five", "0x10", "9" * 400)
SHARES = ("nan", "inf", "-1", "100.1", "1e400", "five", ",", "1,,2", "1;2")
SERVICES = (
    "", "gw", "gw:80", "ns/gw", "ns/gw:0", "ns/gw:65536", "ns/gw:" + DIGITS, "ns/gw:http", "a/b/c:1", "NS/GW:80", "-/-:80",
)  # fmt: skip
URLS = (
    "", "192.0.2.2", "http://", "ftp://h", "https://192.0.2.2", "http://h:0", "http://h:65536", "http://h:x", "http://[h",
    "http://me@h", "http://h/path", "http://h?q", "http://h#f", "http://a b", "http://h:" + DIGITS, "javascript:alert(1)",
)  # fmt: skip
IMAGES = ("", "UPPER CASE:1", "r.example/a", "r.example/a:", "-a:1", "a b:1", "r.example/a:1\n")
PAIRS = ("", "=", "=1", "a", "a b")
NAMES = ("", "A", "-a", "a_b", "a/b", "a" * 64, "ä", "kube-system")

# By option, or by command and option where one name means different things.
TABLE: dict[str, tuple[str, ...]] = {
    # of runs
    "--run-dir": ("{file}", "{full}", "{loop}", "{below_a_file}", "{zero}", "{long}", ""),
    "--rps": (*FLOATS, "0", "0.09", "5001", "100001"),
    "--report-dir": ("{file}", "{full}", "{loop}", "{below_a_file}", "{zero}", "{long}"),
    "--chart": ("{absent}", "{file}", "{folder}", "{loop}", "{zero}", "{fifo}", "{long}", ""),
    "--values": ("{absent}", "{folder}", "{loop}", "{zero}", "{fifo}", "{binary}", "{long}", ""),
    "--set": (
        *PAIRS, ".a=1", "a.=1", "a..b=1", "a={", "a=2024-01-01", "a=.nan", "a=.inf", "a=!!binary x", "a=*x", "a=&x [*x]",
        "a=!!python/object:os.system {}", "a=\x00", "a=" + "[" * 100_000, ".".join("a" * 3000) + "=1", "a\nb", "a=b: c: d",
    ),
    "--error-rate": (*FLOATS, "100.1"), "--latency-ms": (*FLOATS, "9001"),
    "--fault-setting": (*PAIRS, "hang_rate", "hang_rate=", "hang_rate=x", "hang_rate=nan", "hang_rate=101", "hang_rate=-1",
                        "hang_rate=1e400", "other=1", "hang_rate=1=2"),
    "--disturb": ("", "nobody", "etcd@", "etcd@11", "etcd@x", "etcd@10:", "etcd:-1", "etcd:nan", "etcd:1e400", "etcd:601", "@10",
                  "etcd@each@10", "etcd@10:5:5", "etcd\n"),
    "--binaries": ("{absent}", "{folder}", "{loop}", "{zero}", "{fifo}", "{long}", "", "http://192.0.2.2/x", "ftp://h/x"),
    "--sha256": ("", "xyz", "0" * 63, "g" * 64, "0" * 65),
    "binaries pack --output": ("{folder}", "{below_a_file}", "{loop}", "{long}"),
    "--campaign": ("{file}", "{full}", "{loop}", "{below_a_file}", "{zero}", "{long}"),
    # of somebody's cluster
    "--context": ("", "tema", "team\n", "x" * 5000),
    "--kubeconfig": ("{absent}", "{folder}", "{loop}", "{zero}", "{null}", "{fifo}", "{binary}", "{file}", "{long}",
                     "~nobody-of-this-name/config"),
    "--namespace": NAMES, "--namespace-label": (*PAIRS, "a=b c", "a/b/c=d", "a=" + "x" * 64, "-a=b", "a=\n", "ä=b"),
    "--gateway-url": URLS, "--gateway-service": SERVICES, "--prometheus-url": URLS, "--prometheus-service": SERVICES,
    "--gateway-domain": ("a b", "-a", "a..b", "http://a", "A_b", "x" * 300, "a\n"),
    "--prometheus-address": URLS,
    "--registry": ("", "http://r.example", "r example", "-r", "r.example:port", "r.example:99999", "r.example//a",
                   "r.example/A B", "\n"),
    "--push-registry": ("http://r.example", "r example", "-r", "r.example:port", "r.example/A B", "\n"),
    "--base-image": ("a b", "-a", "http://r.example/a", "r.example/A:1", "\n"),
    "--image-stable": IMAGES, "--image-canary": IMAGES,
    # of the commands without a platform
    "matrix FILE": ("{absent}", "{folder}", "{loop}", "{zero}", "{fifo}", "{binary}", "{file}", "{null}", "{long}"),
    "--junit": ("{folder}", "{below_a_file}", "{loop}", "{long}"),
    "matrix --junit": ("{folder}", "{below_a_file}", "{loop}", "{long}", "{absent}/x/y.xml"),
    "lint FILES": ("{absent}", "{loop}", "{zero}", "{fifo}", "{binary}", "{long}", ""),
    "oc FILES": ("{absent}", "{loop}", "{zero}", "{fifo}", "{binary}", "{long}", "{null}", ""),
    "gate FILES": ("{absent}", "{loop}", "{zero}", "{fifo}", "{binary}", "{long}", "{null}", ""),
    "oc --rps": (*FLOATS, "0", "100001"),
    "--ignore": ("GP999", "nothing like it", "GP103,GP999", "\n;"),
    "--buckets": ("a", "0", "-1", "nan", "inf", "1,,2", "1;2", ","),
    "--scrape-interval": (*FLOATS, "0", "3601"),
    "--rollout": ("other", "", "a\nb"), "--weights": SHARES, "--pause": (*FLOATS, "0", "86401"),
    "--without": ("other", "", "a\nb"),
    "--window": (*FLOATS, "0", "86401"), "--rates": SHARES, "--other": (*SHARES, ""), "--healthy-rates": SHARES, "--bad": SHARES,
    "--power": (*FLOATS, "0", "1"), "--healthy": SHARES, "--max-false": (*FLOATS, "0", "1"),
    "--points": ("{absent}", "{folder}", "{loop}", "{zero}", "{fifo}", "{binary}", "{file}", "{null}", "{long}"),
    "--plot": ("x", "x.pdf", "{folder}", "{below_a_file}.svg", "{loop}.svg", "{absent}/x.svg"),
    "--compare": ("nan", "inf", "0", "-1", "100001", "five", "1,,2", ","),
    "--series": ("{absent}", "{folder}", "{loop}", "{zero}", "{null}", "{fifo}", "{binary}", "{file}", "{long}"),
    "--arg": (*PAIRS, "nobody-asks=1"), "--at": ("yesterday", "nan", "inf", "1e400", "2026-13-45T00:00:00Z", DIGITS, "-1"),
    "--template": ("other", "", "a\nb"),
    "--replay": ("{absent}", "{file}", "{folder}", "{full}", "{loop}", "{zero}", "{fifo}", "{long}"),
    "--image": ("", "webapp", "webapp:v1", "webapp@sha256:00", "webapp:v1@sha256:XY", "a b:v1@sha256:" + "0" * 64,
                "-x:v1@sha256:" + "0" * 64, "webapp:v1@sha256:" + "0" * 63 + "\n"),
    "--checkout": ("{absent}", "{file}", "{folder}", "{loop}", "{zero}", "{long}", ""),
    "--file": ("", ".", "..", "../outside", "/outside", ".git/config", ".git", "a/../.git/hooks/x", "{long}", "a/"),
    "--remote": ("", "--upload-pack=x", "-o"), "--branch": ("", "--mirror", "a..b", "a b", "x.lock", "@{", "/", "a\n"),
    "--trial": ("x" * 300, "a\nb", "\x00"),
    "--user": ("", "\n"), "--group": ("", "\n"), "--service-account": ("", "a", "a:", ":b", "a:b:c", "A:b", "a b:c"),
    "--forward-to": NAMES[:-1],
}  # fmt: skip
LESS: dict[str, tuple[str, ...]] = {
    "--gateway-service": ("--gateway-url",), "--prometheus-service": ("--prometheus-url",), "--image-stable": ("--registry",),
    "--image-canary": ("--registry",), "--group": ("--user",), "--service-account": ("--user",), "oc FILES": ("{gate}",),
    "gate FILES": ("{gate}",), "--rollout": ("--weights",), "lint FILES": ("{gate}",), "--replay": ("{gate}", "--series"),
}  # fmt: skip
"""What of the whole command an option takes the place of."""
MORE: dict[str, tuple[str, ...]] = {
    "--image-stable": ("--no-build", "--image-canary", "r.example/a:2"),
    "--image-canary": ("--no-build", "--image-stable", "r.example/a:2"),
    "--sha256": ("--binaries", "{binary}"),
    "--fault-setting": ("--fault", "hang"), "--power": ("--bad", "2"), "--max-false": ("--bad", "2"), "--healthy": ("--bad", "2"),
}  # fmt: skip
"""What an option needs beside it."""

TOLD: dict[str, tuple[str, ...]] = {
    "FILE": ("[FILE]",), "FILES": ("[FILE|FOLDER|-]", "AnalysisTemplate"), "--fault-setting": ("hang",),
    "--latency-ms": ("latency",),
    "--without": ("no metric",), "--set": ("give KEY=VALUE",),
}  # fmt: skip
"""What a message may say in place of the option's name."""

CONTRADICTIONS: tuple[tuple[str, str], ...] = (
    *((f"{command} --gateway-port 8500 --registry-port 8500", "8500") for command in ON_PLATFORMS),
    *((f"{command} --context team", "--platform local has no --context") for command in ON_PLATFORMS),
    *(
        (f"{command} --platform existing --context team --kubeconfig {{kubeconfig}} --gitops", "--gitops")
        for command in (*RUNS, "up")
    ),
    *((f"{command} --set a=1 --set a.b=2", "--set a.b=2") for command in (*RUNS, "matrix")),
    ("role --namespace a --user b --set a=1 --set a.b=2", "--set a.b=2"),
    ("failure --fault hang --error-rate 5", "--fault goes without"),
    ("failure --fault-setting hang_rate=5", "--fault-setting goes with --fault"),
    ("failure --fault hang --fault-setting hang_rate=5 --fault-setting hang_rate=6", "hang_rate"),
    ("failure --fault jitter --fault-setting latency_jitter_ms=300", "jitter"),
    ("failure --fault error --fault-setting error_rate=60 --fault-setting hang_rate=60", "hang_rate"),
    ("failure --fault percentiles --fault-setting latency_p50_ms=5000", "percentiles"),
    ("trials --fault hang --latency-ms 5", "--fault goes without"),
    ("lint", "nothing to lint"), ("lint {gate} --values {values}", "--chart"), ("oc {gate} --set a=1", "--chart"),
    ("oc {gate} --pause 5", "--weights"), ("oc {gate} --rollout a --weights 10", "--weights"),
    ("gate {gate}", "--series"), ("gate --series {series}", "no gate to try"),
    ("gate {gate} --series {series} --at 5", "--at is for recorded samples"), ("gate --replay {folder} {gate}", "--replay"),
    ("gate --replay {folder} --junit x.xml", "--replay"), ("gate --replay {folder} --controller", "--replay"),
    ("gate --replay {folder} --arg a=b", "--replay"), ("gate --replay {folder} --at 5", "--replay"),
    ("gate --replay {folder} --template x", "--replay"), ("gate --replay {folder} --set a=1", "--replay"),
    ("role --namespace a", "--user"), ("role --namespace a --user b --group c", "one of"),
    ("matrix --schema --list", "--schema"),
    ("nonsense", "nonsense"), ("success --nonsense", "--nonsense"), ("success surplus", "surplus"), ("--nonsense", "--nonsense"),
    ("bump", "--image"), ("role", "--namespace"), ("", ""),
)  # fmt: skip
"""Command lines whose parts do not go together, are too many or too few."""


def commands() -> Iterator[tuple[str, click.Command]]:
    for name, command in sorted(cli.commands.items()):
        if isinstance(command, click.Group):
            yield from ((f"{name} {each}", below) for each, below in sorted(command.commands.items()))
        else:
            yield name, command


def name_of(command: str, parameter: click.Parameter) -> str:
    """How the table calls it."""
    if isinstance(parameter, click.Argument):
        return f"{command} {str(parameter.name).upper()}"
    longest = max(parameter.opts, key=len)
    return f"{command} {longest}" if f"{command} {longest}" in TABLE else longest


def values(command: str, parameter: click.Parameter) -> tuple[str, ...]:
    """The bad values of an option: of its type, where that says all, else of the table. KeyError where there are none."""
    kind = parameter.type
    if isinstance(kind, click.IntRange):
        assert kind.min is not None
        assert kind.max is not None
        return (str(kind.min - 1), str(kind.max + 1), "nan", "inf", "1e400", "1.5", "five", "", "0x10", DIGITS)
    if isinstance(kind, click.Choice):
        return ("", "nonsense", str(kind.choices[0]).upper(), ",".join(map(str, kind.choices)), "\n")
    return TABLE[name_of(command, parameter)]


def whole(command: str, name: str, *, existing: bool) -> list[str]:
    """The command with all that it needs, less what the option takes the place of."""
    less, argv = LESS.get(name, ()), []
    pairs = list(BASE[command])
    if existing:
        pairs += [part for flag, value in EXISTING.items() for part in (flag, value)]
    while pairs:
        part = pairs.pop(0)
        if part.startswith("--"):
            value = pairs.pop(0)
            argv += [] if part in (*less, name.rpartition(" ")[2]) else [part, value]
        elif part not in less:
            argv.append(part)
    return [*command.split(), *argv, *MORE.get(name, ())]


def table(command: str, parameter: click.Parameter) -> Iterator[Bad]:
    """Every bad command line of one option or argument."""
    name = name_of(command, parameter)
    argument, flag = isinstance(parameter, click.Argument), name.rpartition(" ")[2]
    from harness.platforms.existing.options import OPTIONS  # noqa: PLC0415 -- nowhere else is it asked for

    existing = command in ON_PLATFORMS and name in {each.flag for each in OPTIONS}
    start = whole(command, name, existing=existing)
    if isinstance(parameter, click.Option) and parameter.is_flag:
        yield Bad(command=command, argv=(*start, f"{flag}=yes"), told=(flag,))
        return
    if not argument:
        yield Bad(command=command, argv=(*start, flag), told=(flag,))
    for value in values(command, parameter):
        argv = (*start, value) if argument else (*start, f"{flag}={value}")
        yield Bad(command=command, argv=argv, told=(flag, flag.removeprefix("--").replace("-", " "), *TOLD.get(flag, ())))
