"""PURE: all rules, and all of them on a set of documents."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from harness.lint.model import Finding, Options, Path, Rule, Severity, Tell
from harness.lint.rules import conditions, limits, queries, rollouts, routes
from harness.lint.source import Document
from harness.lint.subject import Template, object_name
from harness.lint.usage import Rollout, World

RULES: tuple[Rule, ...] = (*conditions.RULES, *queries.RULES, *limits.RULES, *rollouts.RULES, *routes.RULES)


def find(word: str) -> Rule | None:
    """The rule with this id or name."""
    return next((rule for rule in RULES if word.lower() in (rule.id.lower(), rule.name)), None)


def lint(documents: Iterable[Document], options: Options) -> list[Finding]:
    """Every finding on these documents, taken together, in the order of their places."""
    world = World(list(documents))
    found: list[Finding] = []
    off = {rule for word in options.ignore if (rule := find(word))}

    def teller(document: Document, subject: str) -> Tell:
        def tell(rule: Rule, path: Path, message: str, severity: Severity | None = None) -> None:
            if rule in off or document.ignores(path, {rule.id.lower(), rule.name}):
                return
            found.append(
                Finding(
                    rule=rule, severity=severity or rule.severity, file=document.file, line=document.line(path),
                    subject=_one_line(subject), message=_one_line(message),
                )
            )

        return tell

    for template in world.templates:
        _template(template, world, options, teller)
    for rollout in world.rollouts:
        _rollout(rollout, world, teller)
    for kind in ("VirtualService", "DestinationRule"):
        for document in world.of_kind(kind, "networking.istio.io"):
            routes.examine_mesh(document, world, teller(document, f"{kind} {object_name(document)}"))
    for kind in ("Application", "ApplicationSet"):
        for document in world.of_kind(kind, "argoproj.io"):
            routes.examine_application(document, world, teller(document, f"{kind} {object_name(document)}"))
    return sorted(set(found), key=lambda each: each.order)


def _one_line(text: str) -> str:
    """As it is shown: names come from manifests, and may hold anything."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


_Teller = Callable[[Document, str], Tell]


def _template(template: Template, world: World, options: Options, teller: _Teller) -> None:
    subject = f"{template.kind} {template.name}"
    whole = teller(template.document, subject)
    limits.examine_template(template, world, whole)
    rollouts.examine_template(template, world, whole)
    for metric in template.metrics:
        tell = teller(template.document, f"{subject}, metric {metric.name}")
        conditions.examine(metric, tell)
        queries.examine(metric, options, world.scope(metric), tell)
        limits.examine(metric, world, tell)


def _rollout(rollout: Rollout, world: World, teller: _Teller) -> None:
    tell = teller(rollout.document, f"Rollout {rollout.name}")
    rollouts.examine(rollout, tell)
    routes.examine(rollout, tell)
    for use in world.uses:
        if use.rollout is rollout:
            rollouts.examine_use(use, world, tell)
            limits.examine_use(use, world, tell)
