"""Which records a look reads, and when it looks for new ones."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.flows.referrals.piece import is_daily_turn

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_somebody_new_is_followed_at_once():
    assert is_daily_turn("per_1", None, NOW)


@given(st.text(min_size=1), st.integers(0, 86_399))
def test_everybody_has_one_turn_in_any_day_of_hourly_looks(person, second):
    start = NOW + timedelta(seconds=second)
    looks = [start + timedelta(hours=number) for number in range(25)]
    turns = [is_daily_turn(person, before, now) for before, now in pairwise(looks)]
    assert turns.count(True) == 1


@pytest.mark.parametrize("days", [1, 1.5, 9])
def test_a_look_that_was_missed_is_made_up_for(days):
    assert is_daily_turn("per_1", NOW - timedelta(days=days), NOW)


def test_the_turns_of_many_are_spread_over_the_day():
    hours = [NOW + timedelta(hours=number) for number in range(25)]
    for before, now in pairwise(hours):
        assert 10 < sum(is_daily_turn(f"per_{number}", before, now) for number in range(1000)) < 90
