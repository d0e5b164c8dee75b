import pytest

from loadtest.traffic.plan import OPTIONS, SHAPES, plan_from, unused
from loadtest.traffic.routes import Route


def test_without_options_it_is_what_it_always_was() -> None:
    plan = plan_from({})
    assert [plan.shape.rate(time) for time in (0, 1000)] == [50, 50]
    assert plan.routes == (Route(),)
    assert (plan.header, plan.host_header) == (None, "webapp.local")


def test_blanks_are_defaults_and_what_is_not_ours_is_passed_over() -> None:
    blank = plan_from(dict.fromkeys(OPTIONS, " ") | {"user_count": "7"})
    assert blank.asked == plan_from(dict.fromkeys(OPTIONS)).asked == plan_from({}).asked


def test_every_default_is_one_that_the_option_accepts() -> None:
    for shape in SHAPES:
        plan_from({name: option.default for name, option in OPTIONS.items()} | {"shape": shape})


@pytest.mark.parametrize(
    ("options", "at", "rate"),
    [
        ({"shape": "ramp", "ramp_from": "5", "period_seconds": "60"}, 20, 20),
        ({"shape": "ramp"}, 30, 25),
        ({"shape": "spike"}, 35, 100),
        ({"shape": "spike", "spike_to": "0", "spike_at_seconds": "0", "spike_for_seconds": "1"}, 0.5, 0),
        ({"shape": "sine"}, 15, 75),
        ({"shape": "sine", "amplitude": "50"}, 45, 0),
        ({"shape": "sine", "amplitude": "0"}, 15, 50),
    ],
)
def test_each_option_reaches_its_shape(options: dict[str, str], at: float, rate: float) -> None:
    assert plan_from(options).shape.rate(at) == pytest.approx(rate)


def test_the_shape_follows_the_rate() -> None:
    assert plan_from({"shape": "sine", "requests_per_second": "10"}).shape.rate(15) == 15
    assert plan_from({"shape": "spike", "requests_per_second": "10"}).shape.rate(35) == 20


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"requests_per_second": "abc"}, "--rps is 'abc'; give a number above 0"),
        ({"requests_per_second": "0"}, "--rps is '0'"),
        ({"requests_per_second": "nan"}, "--rps is 'nan'"),
        ({"requests_per_second": "inf"}, "--rps is 'inf'"),
        ({"shape": "square"}, "--shape is 'square'; give one of steady, ramp, spike, sine"),
        ({"shape": "ramp", "ramp_from": "-1"}, "--rps-from is '-1'; give a number of 0 or more"),
        ({"shape": "ramp", "period_seconds": "0"}, "--period is '0'"),
        ({"shape": "sine", "amplitude": "51"}, "--amplitude is 51, more than --rps 50"),
        ({"shape": "spike", "spike_to": "x"}, "--spike-rps is 'x'"),
        ({"shape": "spike", "spike_at_seconds": "-1"}, "--spike-at is '-1'"),
        ({"shape": "spike", "spike_for_seconds": "0"}, "--spike-seconds is '0'"),
        ({"routes": "nowhere"}, "--routes: 'nowhere' is no route"),
        ({"header": "X"}, "--header is 'X'"),
        ({"header_share": "101"}, "--header-share is 101; give a percentage"),
        ({"host_header": "a\r\nb: c"}, "--host-header is "),
        ({"host_header": "a b"}, "--host-header is "),
    ],
)
def test_what_cannot_be_is_told_in_one_line(options: dict[str, str], line: str) -> None:
    with pytest.raises(ValueError, match=f"^{line}") as refused:
        plan_from(options)
    assert "\n" not in str(refused.value)


def test_options_of_another_shape_are_pointed_out() -> None:
    assert unused({}) == []
    assert unused({"shape": "ramp", "ramp_from": "5", "period_seconds": "9"}) == []
    assert unused({"shape": "steady", "ramp_from": "5", "spike_to": "9", "period_seconds": "60"}) == ["--rps-from", "--spike-rps"]


def test_flags_and_variables_go_together() -> None:
    assert OPTIONS["requests_per_second"].variable == "GATEPROOF_RPS"
    assert OPTIONS["spike_at_seconds"].variable == "GATEPROOF_SPIKE_AT"
