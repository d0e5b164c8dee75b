"""What a Dockerfile says about running its image, read without Docker: enough of the language for ours, and no more."""

from __future__ import annotations

import json
import re
import shlex

from harness.images import ImageConfig


def instructions(text: str) -> list[tuple[str, str]]:
    """The instructions as (name, rest), comments dropped and continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(name.upper(), rest.strip()) for name, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def last_stage(text: str) -> list[tuple[str, str]]:
    """The instructions of the last stage, its FROM included."""
    found = instructions(text)
    return found[max(index for index, (name, _) in enumerate(found) if name == "FROM") :]


def image_config(text: str, **build_arguments: str) -> ImageConfig:
    """The configuration that the last stage gives its image, over an empty base."""
    known: dict[str, str] = {}
    for name, rest in instructions(text):
        if name == "FROM":
            break
        known |= _argument(rest, {}, build_arguments)
    scope: dict[str, str] = {}
    pairs: dict[str, dict[str, str]] = {"ENV": {}, "LABEL": {}}
    said: dict[str, str] = {}
    for name, rest in last_stage(text):
        if name == "ARG":
            scope |= _argument(rest, known, build_arguments)
        elif name in pairs:
            # Words first, values after: a space or a quote in a build argument splits nothing.
            words = (word.partition("=") for word in shlex.split(rest))
            pairs[name] |= {key: _expand(value, scope) for key, _, value in words}
        else:
            said[name] = rest
    return ImageConfig(
        entrypoint=tuple(json.loads(said.get("ENTRYPOINT", "[]"))),
        cmd=tuple(json.loads(said.get("CMD", "[]"))),
        env=pairs["ENV"],
        working_dir=said.get("WORKDIR", ""),
        user=said.get("USER", ""),
        exposed_ports=tuple(said.get("EXPOSE", "").split()),
        labels=pairs["LABEL"],
    )


def _argument(rest: str, outer: dict[str, str], given: dict[str, str]) -> dict[str, str]:
    name, has_default, default = rest.partition("=")
    value = given.get(name, default if has_default else outer.get(name))
    return {} if value is None else {name: value}


def _expand(text: str, scope: dict[str, str]) -> str:
    return re.sub(r"\$\{(\w+)\}", lambda match: scope.get(match[1], ""), text)
