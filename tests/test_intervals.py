"""Windows in a span, and unions of intervals."""

from __future__ import annotations

import pytest

from pipeline.data.intervals import covering_starts, merge_windows, union, window_starts


@pytest.mark.parametrize(
    ("start", "stop", "inside", "covering"),
    [
        (10, 40, [10, 20, 30], [10, 20, 30]),
        (10, 45, [10, 20, 30], [10, 20, 30, 35]),
        (10, 20, [10], [10]),
        (10, 15, [], [10]),
    ],
)
def test_windows_lie_in_a_span_or_cover_it(start: int, stop: int, inside: list[int], covering: list[int]) -> None:
    assert window_starts(start, stop, 10, 10).tolist() == inside
    assert covering_starts(start, stop, 10, 10).tolist() == covering


def test_intervals_that_touch_become_one() -> None:
    assert union([(5, 8), (0, 3), (3, 4), (6, 7), (9, 9)]) == [(0, 4), (5, 8)]


def test_windows_are_merged_within_their_recording() -> None:
    windows = [(1, 4), (0, 0), (0, 8), (0, 30), (1, 0)]
    assert merge_windows(windows, 10) == [(0, 0, 18), (0, 30, 40), (1, 0, 14)]
    assert merge_windows(windows, 10, [35, 12]) == [(0, 0, 18), (0, 30, 35), (1, 0, 12)]
    assert merge_windows([], 10) == []
