"""What each request asks for: a seeded choice among weighted routes, and a header on a share of the requests."""

from __future__ import annotations

import itertools
import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")

_ROUTE = re.compile(r"(?:(?P<method>[A-Z]+) )?(?P<path>/[!-~]*)")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NEVER_IN_PATH = set("#\\,")


@dataclass(frozen=True, kw_only=True)
class Route:
    """One method and path, and how often it is asked for compared with the others."""

    method: str = "GET"
    path: str = "/"
    weight: float = 1.0

    @property
    def name(self) -> str:
        """As it is written in --routes, and in the record."""
        return self.path if self.method == "GET" else f"{self.method} {self.path}"


def parse_routes(text: str) -> tuple[Route, ...]:
    """Routes of `/=8,/headers=1,POST /readyz/enable=0.5`: [METHOD ]PATH[=WEIGHT], method GET and weight 1 when not given.

    Raises ValueError with one line that names the part which is wrong.
    """
    routes = tuple(_parse_route(part.strip()) for part in text.split(","))
    names = [route.name for route in routes]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"--routes names {twice} twice: give it once, with one weight")
    if sum(route.weight for route in routes) <= 0:
        raise ValueError("--routes gives every route the weight 0: at least one must be above 0")
    return routes


def _parse_route(part: str) -> Route:
    target, equals, number = part.rpartition("=")
    if not equals:
        target, number = part, "1"
    match = _ROUTE.fullmatch(target)
    if match is None or _NEVER_IN_PATH & set(match["path"]):
        raise ValueError(f"--routes: {part!r} is no route; give [METHOD ]PATH[=WEIGHT], e.g. /headers=2, the path from / on")
    method = match["method"] or "GET"
    if method not in METHODS:
        raise ValueError(f"--routes: {method} in {part!r} is no method; give one of {', '.join(METHODS)}")
    if "?" in target and "=" not in target.rpartition("?")[2].rpartition("&")[2]:
        # /search?page=2 would otherwise be /search?page with the weight 2.
        raise ValueError(f"--routes: {part!r} has a query, so its weight must follow: {part}=1")
    try:
        weight = float(number)
    except ValueError:
        weight = -1.0
    if not (math.isfinite(weight) and weight >= 0):
        raise ValueError(f"--routes: the weight {number!r} of {target} is not a number of 0 or more")
    return Route(method=method, path=target.removeprefix(f"{method} "), weight=weight)


def parse_header(text: str) -> tuple[str, str]:
    """Name and value of `X-Tester: yes`. Raises ValueError with one line for what HTTP would not carry."""
    name, colon, value = text.partition(":")
    value = value.strip()
    if not colon or not _TOKEN.fullmatch(name) or not (value.isascii() and value.isprintable()):
        raise ValueError(f"--header is {text!r}; give it as 'Name: value', e.g. 'X-Tester: yes'")
    if name.lower() in {"host", "content-length", "transfer-encoding", "connection"}:
        raise ValueError(f"--header may not be {name}: the load sets it itself (the Host header with --host-header)")
    return name, value


class Mix:
    """Draws what to ask for, repeatably for a seed, and independently of when it is asked."""

    def __init__(self, routes: Sequence[Route], *, header_share: float, seed: int) -> None:
        """`header_share` is the percentage of requests that carry the header: 0 none, 100 all."""
        self._routes = routes
        self._weights = list(itertools.accumulate(route.weight for route in routes))
        self._share = header_share
        self._random = random.Random(f"{seed} routes")  # noqa: S311 - the mix must be repeatable, not secret

    def draw(self) -> tuple[Route, bool]:
        """The next request's route, and whether it carries the header. Always two draws, so that one changes not the other."""
        route = self._random.choices(self._routes, cum_weights=self._weights)[0]
        return route, self._random.random() * 100 < self._share
