"""The chart's side of the harness: helm, called so that it neither reads nor changes the user's own helm."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.errors import HarnessError, PlatformError, UsageError
from harness.files import MIB, is_file, read_text
from harness.plain import Unbounded, key_twice, look_through

# What helm prints when the chart, its schema or the values are to blame, rather than the cluster.
_REFUSED = (
    "values don't meet the specifications of the schema",
    "execution error at (",
    "failed to parse",
    "chart requires kubeVersion",
    "chart(s) failed",
)
_CONFLICT = "conflict with"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same by libyaml: many times faster


@dataclass(frozen=True, kw_only=True)
class Helm:
    """One helm program that talks to one cluster.

    `home` is a folder for helm's own files (configuration, caches, plugins); it is created when missing. `context` None means the
    kubeconfig's current context. Every command ends within `timeout_seconds`. `creates_namespace` False leaves it to somebody
    else to make a namespace: helm would try to, and fail where that is not allowed, even if the namespace is there.
    """

    binary: Path
    kubeconfig: Path
    home: Path
    context: str | None = None
    timeout_seconds: float = 120.0
    creates_namespace: bool = True

    def install_or_upgrade(
        self,
        release: str,
        namespace: str,
        chart: Path,
        *,
        values_files: Sequence[Path] = (),
        set_values: Mapping[str, object] | None = None,
        force_conflicts: bool = False,
        fetch_schemas: bool = True,
    ) -> None:
        """Bring a release to these values; the namespace is created when missing, unless `creates_namespace` is False.

        `set_values` win over the files. A key may be a dotted path ("image.tag"); what lies below it is taken as it is, types
        included. `force_conflicts` takes over fields that another program changed last. The chart repeats the rollouts
        controller's own fields, so they survive that. `fetch_schemas` False spares helm the cluster's OpenAPI documents, which
        take 0.2 s: a field that one of Kubernetes' own kinds does not have is then not refused.

        Raises:
            UsageError: the chart or its schema refuses the values.
            PlatformError: the cluster cannot be reached or refuses the objects, or helm does not end in time.

        """
        _present(chart)
        options = ["--install", "--namespace", namespace, *(["--create-namespace"] if self.creates_namespace else [])]
        if force_conflicts:
            options.append("--force-conflicts")
        if not fetch_schemas:
            options.append("--disable-openapi-validation")
        with self._values(values_files, set_values) as values:
            self._run("upgrade", release, str(chart), *options, *values, *self._cluster())

    def template(
        self,
        release: str,
        namespace: str,
        chart: Path,
        *,
        values_files: Sequence[Path] = (),
        set_values: Mapping[str, object] | None = None,
    ) -> list[dict[str, Any]]:
        """The chart's objects with these values, rendered without a cluster; `helm test` pods included.

        Raises as `render` does.
        """
        text = self.render(release, namespace, chart, values_files=values_files, set_values=set_values)
        return [document for document in yaml.load_all(text, Loader=_LOADER) if document]

    def render(
        self,
        release: str,
        namespace: str,
        chart: Path,
        *,
        values_files: Sequence[Path] = (),
        set_values: Mapping[str, object] | None = None,
    ) -> str:
        """The chart as YAML text with its comments, rendered without a cluster.

        Raises:
            UsageError: the chart or its schema refuses the values.

        """
        _present(chart)
        with self._values(values_files, set_values) as values:
            return self._run("template", release, str(chart), "--namespace", namespace, *values)

    def lint(self, chart: Path, *, values_files: Sequence[Path] = (), set_values: Mapping[str, object] | None = None) -> None:
        """Check the chart; a warning counts as a failure.

        Values that contradict each other pass: helm's lint goes on after a template's own `fail`, `template` does not.

        Raises:
            UsageError: helm finds fault with it.

        """
        _present(chart)
        with self._values(values_files, set_values) as values:
            self._run("lint", str(chart), "--strict", "--quiet", *values)

    def uninstall(self, release: str, namespace: str) -> None:
        """Remove a release and its objects; one that is not there is fine.

        Raises:
            PlatformError: the cluster cannot be reached, or helm does not end in time.

        """
        self._run("uninstall", release, "--namespace", namespace, "--ignore-not-found", *self._cluster())

    def _cluster(self) -> list[str]:
        context = ["--kube-context", self.context] if self.context else []
        return ["--kubeconfig", str(self.kubeconfig), *context]

    @contextmanager
    def _values(self, files: Sequence[Path], overrides: Mapping[str, object] | None) -> Iterator[list[str]]:
        """The options that hand over values; overrides go through a file, as --set guesses types and splits at commas."""
        for file in files:
            refuse_values_file(file)
        options = [option for file in files for option in ("--values", str(file))]
        if not overrides:
            yield options
            return
        self.home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.home, prefix="values-") as folder:
            file = Path(folder) / "values.json"
            file.write_text(json.dumps(nested(overrides)))
            yield [*options, "--values", str(file)]

    def _environment(self) -> dict[str, str]:
        """The caller's environment without anything that steers helm or its choice of a cluster."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HELM_", "KUBE"))}
        own = {
            "HELM_CONFIG_HOME": "config",
            "HELM_CACHE_HOME": "cache",
            "HELM_DATA_HOME": "data",
            "KUBECACHEDIR": "kube-cache",
        }
        return kept | {name: str(self.home / folder) for name, folder in own.items()}

    def _run(self, verb: str, *arguments: str) -> str:
        """What helm prints; its failure becomes one of the harness' errors."""
        self.home.mkdir(parents=True, exist_ok=True)
        try:
            done = subprocess.run(
                [str(self.binary), verb, *arguments],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=self.timeout_seconds,
                check=False,
            )
        except OSError as error:
            raise PlatformError(f"helm cannot be run: {self.binary}: {error.strerror}") from error
        except subprocess.TimeoutExpired as error:
            raise PlatformError(f"helm {verb} did not end within {self.timeout_seconds:g} s") from error
        if done.returncode == 0:
            return done.stdout
        raise failure(verb, done.stderr + done.stdout)


def _present(chart: Path) -> None:
    # Helm takes a folder that is not there for the name of a chart in a repository, and says so.
    if not is_file(chart / "Chart.yaml"):
        raise UsageError(f"there is no chart in {chart} (no Chart.yaml)")


def refuse_values_file(file: Path) -> None:
    """Raise UsageError for a values file that helm should not be given: it would read a device for ever, or unfold any alias."""
    if not is_file(file):
        raise UsageError(f"--values {file}: there is no values file {file}")
    text = read_text(file, told=f"--values {file}", most=4 * MIB)
    try:
        look_through(text)
    except Unbounded as error:
        raise UsageError(f"--values {file}: {error}") from None
    if twice := key_twice(text):
        raise UsageError(f"--values {file}: {twice} is there twice, and helm would take the last one without a word")


def nested(overrides: Mapping[str, object]) -> dict[str, object]:
    """Values whose top-level keys may be dotted paths, as a tree.

    >>> nested({"image.tag": "v1.1", "image.digest": ""})
    {'image': {'tag': 'v1.1', 'digest': ''}}

    Raises:
        UsageError: two keys want different things of the same place.

    """
    tree: dict[str, object] = {}
    for path, value in overrides.items():
        *folders, leaf = path.split(".")
        place = tree
        for folder in folders:
            below = place.setdefault(folder, {})
            if not isinstance(below, dict):
                raise UsageError(f"chart value {path}: {folder} is a value already, not a group of values")
            place = below
        known = place.get(leaf)
        if leaf in place and not (isinstance(known, dict) and isinstance(value, Mapping)):
            raise UsageError(f"chart value {path} is given twice")
        place[leaf] = {**known, **value} if isinstance(known, dict) and isinstance(value, Mapping) else value
    return tree


def failure(verb: str, output: str) -> HarnessError:
    """The error that stands for helm's own output, on one line."""
    lines = [line.strip() for line in output.splitlines()]
    # A log line of helm's (level=…) says nothing that its error does not.
    told = [line for line in lines if line and not line.startswith(("level=", "Use --debug", "==>", "[INFO]"))]
    message = " ".join(told).removeprefix("Error: ") or "it failed and said nothing"
    line = f"helm {verb}: {message}"
    if any(mark in message for mark in _REFUSED):
        return UsageError(line)
    if _CONFLICT in message:
        return PlatformError(f"{line} (another program changed that field last; force_conflicts takes it over)")
    return PlatformError(line)
