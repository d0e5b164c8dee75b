import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.faults import LatencyQuantiles
from webapp.settings import Settings, SettingsError, from_environ

PERCENT = "must be a number from 0 to 100 (percent)"


def test_an_empty_environment_is_a_healthy_app() -> None:
    settings = from_environ({})
    assert settings == Settings()
    assert (settings.bind, settings.version, settings.faults.error_rate) == ("0.0.0.0:8080", "dev", 0)


@pytest.mark.parametrize("name", ["APP_VERSION", "PORT", "FAULT_ERROR_RATE", "FAULT_SEED", "LOG_LEVEL", "BIND_ADDRESS"])
@pytest.mark.parametrize("blank", ["", " ", "\t"])
def test_blank_means_default(name: str, blank: str) -> None:
    assert from_environ({name: blank}) == Settings()


@pytest.mark.parametrize(
    ("text", "rate"), [("0", 0), ("5", 5), (" 5 ", 5), ("0.5", 0.5), (".5", 0.5), ("1e1", 10), ("100", 100), ("-0", 0)]
)
def test_rates_that_are_taken(text: str, rate: float) -> None:
    assert from_environ({"FAULT_ERROR_RATE": text}).faults.error_rate == rate


@pytest.mark.parametrize(
    "text",
    [
        "nan",
        "NaN",
        "inf",
        "-inf",
        "Infinity",
        "-1",
        "-0.0001",
        "100.0001",
        "1e3",
        "abc",
        "5%",
        "0x5",
        "1_0",
        "\u0665",
        "5,0",
        "--5",
    ],
)
def test_rates_that_are_refused(text: str) -> None:
    with pytest.raises(SettingsError) as error:
        from_environ({"FAULT_ERROR_RATE": text})
    assert str(error.value) == f"FAULT_ERROR_RATE={text!r}: {PERCENT}"


@pytest.mark.parametrize(
    ("name", "accepted", "refused"),
    [
        ("PORT", ["1", "65535"], ["0", "65536", "-1", "80.0", "http", "1" * 40]),
        ("FAULT_STATUS_CODE", ["400", "500", "599"], ["399", "600", "200", "5e2", "nan"]),
        ("FAULT_LATENCY_MS", ["0", "0.5", "60000"], ["60001", "-1", "nan", "inf", "1s"]),
        ("FAULT_SEED", ["0", "-1", "42"], ["1.5", "x", "nan", str(2**54)]),
        ("LOG_LEVEL", ["debug", "INFO", "Warning", "error"], ["verbose", "10"]),
        ("APP_VERSION", ["v1.0", "1.2.3+4"], ["v1 0", "v1\nX-Evil: 1", "é", "-v", "v" * 129]),
        ("POD_NAME", ["webapp-7d9-x"], ["a\r\nb", "a b"]),
        ("BIND_ADDRESS", ["127.0.10.3", "::1"], ["localhost", "127.0.0", "127.0.0.1:80"]),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", ["http://127.0.0.1:4318"], ["127.0.0.1:4318", "ftp://x", "http://"]),
    ],
)
def test_the_borders(name: str, accepted: list[str], refused: list[str]) -> None:
    for text in accepted:
        from_environ({name: text})
    for text in refused:
        with pytest.raises(SettingsError, match=f"^{name}=.*: must be"):
            from_environ({name: text})


def test_ipv6_is_bound_in_brackets() -> None:
    assert from_environ({"BIND_ADDRESS": "::1", "PORT": "80"}).bind == "[::1]:80"


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(SettingsError) as error:
        from_environ({"PORT": "x", "FAULT_ERROR_RATE": "y", "FAULT_SEED": "z"})
    assert [part.split("=")[0] for part in str(error.value).split("; ")] == ["PORT", "FAULT_ERROR_RATE", "FAULT_SEED"]


def test_jitter_must_not_exceed_the_latency() -> None:
    assert from_environ({"FAULT_LATENCY_MS": "50", "FAULT_LATENCY_JITTER_MS": "50"}).faults.jitter_ms == 50
    with pytest.raises(SettingsError, match=r"^FAULT_LATENCY_JITTER_MS='51': must not exceed FAULT_LATENCY_MS \(50\)$"):
        from_environ({"FAULT_LATENCY_MS": "50", "FAULT_LATENCY_JITTER_MS": "51"})


def quantiles(p50: str, p90: str, p99: str) -> dict[str, str]:
    return {"FAULT_LATENCY_P50_MS": p50, "FAULT_LATENCY_P90_MS": p90, "FAULT_LATENCY_P99_MS": p99}


def test_quantiles_come_together_in_order_and_alone() -> None:
    assert from_environ(quantiles("1", "2", "3")).faults.quantiles == LatencyQuantiles(p50_ms=1, p90_ms=2, p99_ms=3)
    for bad in (quantiles("1", "2", ""), quantiles("3", "2", "1"), quantiles("1", "2", "3") | {"FAULT_LATENCY_MS": "1"}):
        with pytest.raises(SettingsError):
            from_environ(bad)


@given(st.dictionaries(st.sampled_from(["FAULT_ERROR_RATE", "FAULT_LATENCY_MS", "FAULT_SEED", "PORT", "APP_VERSION"]), st.text()))
def test_any_text_is_either_taken_or_refused_in_one_line(environ: dict[str, str]) -> None:
    try:
        settings = from_environ(environ)
    except SettingsError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017  either outcome is right
    else:
        assert 0 <= settings.faults.error_rate <= 100
        assert 0 <= settings.faults.latency_ms <= 60_000
