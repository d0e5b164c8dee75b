import collections

import pytest
from scipy.stats import binomtest

from loadtest.traffic.routes import Mix, Route, parse_header, parse_routes


def test_routes_with_weights_and_methods() -> None:
    assert parse_routes("/=8, /headers=1,/delay/0.1=0.5,POST /readyz/enable=1,/status/503,/a?b=c=2") == (
        Route(path="/", weight=8),
        Route(path="/headers", weight=1),
        Route(path="/delay/0.1", weight=0.5),
        Route(method="POST", path="/readyz/enable", weight=1),
        Route(path="/status/503", weight=1),
        Route(path="/a?b=c", weight=2),
    )


def test_a_route_is_named_as_it_is_written() -> None:
    assert [route.name for route in parse_routes("/a=2,GET /b,DELETE /faults")] == ["/a", "/b", "DELETE /faults"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "is no route"),
        ("/,", "is no route"),
        ("headers=1", "'headers=1' is no route"),
        ("http://192.0.2.1/=1", "is no route"),
        ("/a b=1", "is no route"),
        ("/a\n=1", "is no route"),
        ("/#top=1", "is no route"),
        ("/\\=1", "is no route"),
        ("get /=1", "is no route"),
        ("BREW /=1", "BREW in 'BREW /=1' is no method"),
        ("/=x", "the weight 'x' of / "),
        ("/=-1", "the weight '-1'"),
        ("/=nan", "the weight 'nan'"),
        ("/=inf", "the weight 'inf'"),
        ("/=0,/a=0", "every route the weight 0"),
        ("/=1,/=2", "names / twice"),
        ("/search?page=2", "has a query, so its weight must follow: /search\\?page=2=1"),
    ],
)
def test_what_is_no_route_is_told_in_one_line(text: str, line: str) -> None:
    with pytest.raises(ValueError, match=line) as refused:
        parse_routes(text)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["X-Tester: yes", "X-Tester:yes", "X-Tester:  yes "])
def test_a_header_is_a_name_and_a_value(text: str) -> None:
    assert parse_header(text) == ("X-Tester", "yes")


@pytest.mark.parametrize("text", ["X-Tester", ": yes", "X Tester: yes", "X: a\r\nY: b", "X: ä", "Host: b", "content-length: 9"])
def test_a_header_that_http_would_not_carry_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^--header "):
        parse_header(text)


def test_the_mix_has_its_weights_and_its_share_independently() -> None:
    mix = Mix(parse_routes("/=8,/headers=1,/delay/0.1=1,/never=0"), header_share=25, seed=1)
    drawn = collections.Counter(mix.draw() for _ in range(20_000))
    by_path = collections.Counter[str]()
    for (route, _), number in drawn.items():
        by_path[route.path] += number
    assert set(by_path) == {"/", "/headers", "/delay/0.1"}
    for path, share in (("/", 0.8), ("/headers", 0.1), ("/delay/0.1", 0.1)):
        assert binomtest(by_path[path], 20_000, share).pvalue > 0.001
        marked = sum(number for (route, mark), number in drawn.items() if mark and route.path == path)
        assert binomtest(marked, by_path[path], 0.25).pvalue > 0.001


@pytest.mark.parametrize(("share", "marks"), [(0, {False}), (100, {True})])
def test_a_share_of_none_and_of_all_is_exact(share: float, marks: set[bool]) -> None:
    mix = Mix(parse_routes("/"), header_share=share, seed=1)
    assert {mix.draw()[1] for _ in range(10_000)} == marks


def test_same_seed_same_mix_and_the_share_changes_no_route() -> None:
    def drawn(seed: int, share: float = 50) -> list[tuple[Route, bool]]:
        mix = Mix(parse_routes("/=2,/headers=1"), header_share=share, seed=seed)
        return [mix.draw() for _ in range(200)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert [route for route, _ in drawn(1)] == [route for route, _ in drawn(1, share=0)]
