"""How fast one URL is called."""

from datetime import UTC, datetime, timedelta

from gateway.flows.notify.pace import REMEMBERED, Pace

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def at(seconds):
    return NOW + timedelta(seconds=seconds)


def test_so_many_go_in_any_second_and_the_next_waits_for_the_first_of_them():
    pace = Pace()
    assert [pace.wait_seconds("a", 3, at(second)) for second in (0, 0.2, 0.4)] == [0, 0, 0]
    assert pace.wait_seconds("a", 3, at(0.5)) == 0.5
    assert pace.wait_seconds("a", 3, at(0.999)) > 0
    assert pace.wait_seconds("a", 3, at(1)) == 0
    assert round(pace.wait_seconds("a", 3, at(1)), 6) == 0.2


def test_each_url_has_its_own_window():
    pace = Pace()
    assert [pace.wait_seconds(url, 1, NOW) for url in ("a", "b", "a")] == [0, 0, 1]


def test_windows_that_have_passed_are_forgotten():
    pace = Pace()
    for number in range(REMEMBERED):
        pace.wait_seconds(f"u{number}", 1, NOW)
    pace.wait_seconds("last", 1, at(2))
    assert len(pace._calls) == 1
