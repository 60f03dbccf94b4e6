"""The pure parts of running tasks."""

import pytest

from gateway.storage.running import backoff_seconds, share_out


@pytest.mark.parametrize(
    ("tries", "seconds"), [(1, 10), (2, 30), (3, 90), (4, 270), (7, 7_290), (8, 21_600), (12, 21_600), (500, 21_600)]
)
def test_back_off_grows_to_six_hours_and_spreads_by_a_fifth(tries: int, seconds: int):
    assert backoff_seconds(tries, spread=lambda: 0.5) == pytest.approx(seconds)
    assert backoff_seconds(tries, spread=lambda: 0) == pytest.approx(seconds * 0.8)
    assert backoff_seconds(tries, spread=lambda: 1) == pytest.approx(seconds * 1.2)


@pytest.mark.parametrize(
    ("rooms", "free", "shares"),
    [
        ([], 5, []),
        ([(3, 1), (3, 1)], 0, [0, 0]),
        ([(3, 1), (3, 1)], 10, [3, 3]),
        ([(9, 1), (1, 1), (9, 1)], 5, [2, 1, 2]),
        ([(9, 3), (9, 1)], 4, [3, 1]),
        ([(9, 3), (9, 1)], 6, [5, 1]),
        ([(2, 5), (9, 0)], 5, [2, 3]),
    ],
)
def test_lanes_share_what_is_free_in_turns_of_their_weight(rooms, free: int, shares: list[int]):
    assert share_out(rooms, free) == shares
