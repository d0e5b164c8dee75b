"""PURE: which AnalysisRuns the manifests make: templates, what Rollouts pass to them, and arguments from the command line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.errors import UsageError
from harness.lint.source import Document
from harness.lint.subject import Template, mapping, object_name, sequence
from harness.lint.usage import EXPERIMENT, Use, World
from harness.replay.analysis import Invalid, Metric, metric_of

_TAG = re.compile(r"\{\{([^{}]*)\}\}")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One AnalysisRun to be: the specs of its metrics before arguments are filled in. `args`: None for one without a value."""

    name: str
    templates: tuple[str, ...]
    metrics: tuple[dict[str, Any], ...]
    args: Mapping[str, str | None]
    dry_run: tuple[str, ...] = ()


def subjects(documents: Sequence[Document]) -> list[Subject]:
    """Every different AnalysisRun that the manifests lead to.

    A Rollout's steps put templates together and pass arguments; a template that none of them runs is a run of its own.
    """
    world = World(list(documents))
    found: list[Subject] = []
    used: set[int] = set()
    for use in world.uses:
        templates = world.run_by(use)
        used |= {id(each) for each in templates}
        if use.when != EXPERIMENT and templates and world.complete(use):
            found.append(_of(templates, use))
    found += [_of([each], None) for each in world.templates if id(each) not in used]
    unique: list[Subject] = []
    for each in found:
        if each not in unique:
            unique.append(each)
    return unique


def _of(templates: Sequence[Template], use: Use | None) -> Subject:
    args: dict[str, str | None] = {}
    for template in templates:
        for name, value in template.args.items():
            args[name] = args[name] if args.get(name) is not None else value
    for name, given in (use.args if use else {}).items():
        if name in args:
            value = _passed(given, use)
            args[name] = value if value is not None or given.get("valueFrom") else args[name]
    holders = [template.spec for template in templates] + ([use.analysis] if use else [])
    dry = tuple(str(mapping(each).get("metricName")) for spec in holders for each in sequence(spec.get("dryRun")))
    names = tuple(template.name for template in templates)
    return Subject(
        name=" + ".join(names), templates=names, args=args, dry_run=dry,
        metrics=tuple(metric.spec for template in templates for metric in template.metrics),
    )


def _passed(given: Mapping[str, Any], use: Use | None) -> str | None:
    if given.get("value") is not None:
        return str(given["value"])
    path = mapping(mapping(given.get("valueFrom")).get("fieldRef")).get("fieldPath")
    metadata = mapping(use.rollout.document.value.get("metadata")) if use else {}
    if path == "metadata.name" and use:
        return object_name(use.rollout.document)
    return str(metadata["namespace"]) if path == "metadata.namespace" and metadata.get("namespace") else None


def with_args(subject: Subject, given: Mapping[str, str]) -> Subject:
    """The subject with these values for those of its arguments that they name."""
    return replace(subject, args={name: given.get(name, value) for name, value in subject.args.items()})


def check_args(found: Iterable[Subject], given: Iterable[str]) -> None:
    """Raise UsageError for an argument that no template has: most likely it is misspelt."""
    known = {name for each in found for name in each.args}
    for name in given:
        if name not in known:
            told = f"they have {', '.join(sorted(known))}" if known else "they have none"
            raise UsageError(f"no template has the argument {name}: {told}")


def metrics_of(subject: Subject) -> tuple[Metric, ...]:
    """Its metrics with their arguments filled in.

    Raises:
        UsageError: an argument has no value.
        Invalid: the controller would end the run with an Error before it measures anything.

    """
    for name, value in subject.args.items():
        if value is None:
            told = f"the argument {name} has no value: give --arg {name}=VALUE, or args: in the series file"
            raise UsageError(f"{subject.name}: {told}")
    args = {name: str(value) for name, value in subject.args.items()}
    names: set[str] = set()
    made = []
    for spec in subject.metrics:
        filled = fill(spec, args)
        name = str(filled.get("name", ""))
        if name in names:
            raise Invalid(f"two metrics are called {name}")
        names.add(name)
        made.append(metric_of(filled, dry_run=any(_matches(pattern, name) for pattern in subject.dry_run)))
    for pattern in subject.dry_run:
        if not any(_matches(pattern, each.name) for each in made):
            raise Invalid(f"dryRun {pattern!r} matches no metric")
    if not made:
        raise Invalid("it has no metrics")
    return tuple(made)


def _matches(pattern: str, name: str) -> bool:
    try:
        return re.search(pattern, name) is not None
    except re.error:
        return False


def fill(value: Any, args: Mapping[str, str]) -> Any:
    """A value with every {{args.NAME}} inside it filled in. Raises Invalid for one that nobody declared."""
    if isinstance(value, dict):
        return {key: fill(each, args) for key, each in value.items()}
    if isinstance(value, list):
        return [fill(each, args) for each in value]
    return _TAG.sub(lambda match: _argument(match[1].strip(), args), value) if isinstance(value, str) else value


def _argument(tag: str, args: Mapping[str, str]) -> str:
    kind, _, name = tag.partition(".")
    if kind != "args" or name not in args:
        raise Invalid(f"failed to resolve {{{{{tag}}}}}")
    return args[name]
