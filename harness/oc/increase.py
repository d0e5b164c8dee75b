"""PURE: what Prometheus' `increase()` makes of samples, and the difference of two samples, for many series at once.

As promql's extrapolated rate does it (Prometheus 3, without start timestamps, which a scrape of the text format does not bring):

- the samples of a range are those after its start and up to its end; fewer than two give nothing;
- the raw growth is last less first, plus the value before each drop (a counter that began anew);
- the time that they cover is stretched to the range's ends, but only if the nearest sample is closer to an end than 1.1 times the
  samples' average spacing; else by half that spacing;
- towards the start never further than to where a straight line through the growth reaches zero: a counter that stands at 0 in its
  first sample is not stretched to the left at all;
- the growth is multiplied by stretched time / covered time.
"""

from __future__ import annotations

import numpy as np

from harness.oc.query import Booleans, Floats, Value

_CLOSE = 1.1
LOOKBACK_SECONDS = 300.0
"""How old a sample may be that an instant selector still takes."""


def increase(times: Floats, values: Floats, there: Booleans, *, start: Floats, end: Floats) -> Value:
    """`increase()` over (start, end], along the last axis, which is time. Seconds; `there` says which samples exist.

    All but start and end (which lack the last axis) broadcast to one shape.
    """
    times, values, there = np.broadcast_arrays(times, values, there)
    seen = there & (times > start[..., None]) & (times <= end[..., None])
    number = seen.sum(axis=-1)
    enough = number >= 2
    first, last = np.argmax(seen, axis=-1), seen.shape[-1] - 1 - np.argmax(seen[..., ::-1], axis=-1)
    t_first, t_last, v_first, v_last = (
        np.take_along_axis(of, index[..., None], axis=-1)[..., 0]
        for of, index in ((times, first), (times, last), (values, first), (values, last))
    )
    grown = v_last - v_first + _resets(values, seen)
    covered = np.where(enough, t_last - t_first, 1.0)
    spacing = covered / np.maximum(number - 1, 1)
    to_start, to_end = t_first - start, end - t_last
    to_start = np.where(to_start >= _CLOSE * spacing, spacing / 2, to_start)
    to_end = np.where(to_end >= _CLOSE * spacing, spacing / 2, to_end)
    slope = (grown > 0) & (v_first >= 0)
    to_zero = np.where(slope, covered * v_first / np.where(slope, grown, 1.0), to_start)
    to_start = np.minimum(to_start, to_zero)
    return Value(np.where(enough, grown * (covered + to_start + to_end) / covered, 0.0), enough)


def _resets(values: Floats, seen: Booleans) -> Floats:
    """The sum of the values that stood before a drop, from one seen sample to the next."""
    if not np.any(np.diff(values, axis=-1) < 0):
        return np.zeros(values.shape[:-1])
    index = np.maximum.accumulate(np.where(seen, np.arange(values.shape[-1]), -1), axis=-1)
    before = np.concatenate([np.full((*index.shape[:-1], 1), -1), index[..., :-1]], axis=-1)
    previous = np.take_along_axis(values, np.maximum(before, 0), axis=-1)
    dropped = seen & (before >= 0) & (values < previous)
    total: Floats = np.where(dropped, previous, 0.0).sum(axis=-1)
    return total


def latest(times: Floats, values: Floats, there: Booleans, *, start: Floats, end: Floats) -> Value:
    """`irate()` over (start, end]: the growth a second between the last two samples; after a drop, of what was counted since."""
    times, values, there = np.broadcast_arrays(times, values, there)
    seen = there & (times > start[..., None]) & (times <= end[..., None])
    enough = seen.sum(axis=-1) >= 2
    last = seen.shape[-1] - 1 - np.argmax(seen[..., ::-1], axis=-1)
    rest = seen & (np.arange(seen.shape[-1]) < last[..., None])
    before = seen.shape[-1] - 1 - np.argmax(rest[..., ::-1], axis=-1)
    t_last, v_last, t_before, v_before = (
        np.take_along_axis(of, index[..., None], axis=-1)[..., 0]
        for of, index in ((times, last), (values, last), (times, before), (values, before))
    )
    grown = np.where(v_last < v_before, v_last, v_last - v_before)
    return Value(np.where(enough, grown / np.where(enough, t_last - t_before, 1.0), 0.0), enough)


def counted(times: Floats, values: Floats, there: Booleans, *, start: Floats, end: Floats) -> Value:
    """The last sample in (start, end], less the one in force at `start` if there was one that was not higher."""
    times, values, there = np.broadcast_arrays(times, values, there)
    now = there & (times > start[..., None]) & (times <= end[..., None])
    then = there & (times <= start[..., None]) & (times > start[..., None] - LOOKBACK_SECONDS)
    latest, earlier = (_last(values, seen) for seen in (now, then))
    less = np.where(then.any(axis=-1) & (earlier <= latest), earlier, 0.0)
    return Value(latest - less, np.asarray(now.any(axis=-1)))


def _last(values: Floats, seen: Booleans) -> Floats:
    index = seen.shape[-1] - 1 - np.argmax(seen[..., ::-1], axis=-1)
    return np.take_along_axis(values, index[..., None], axis=-1)[..., 0]


def total(value: Value) -> Value:
    """`sum()` over the last axis (series): of those that have a sample; none when none has."""
    return Value(np.where(value.present, value.values, 0.0).sum(axis=-1), np.asarray(value.present.any(axis=-1)))
