"""The burst window and the shares of a vendor's day, without a vendor."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import httpx
import pytest

from gateway.flows.connections.budget import BudgetMemory, LaneMeter, lane_limits
from gateway.flows.connections.counters import DailyUse, RollingWindow, background_wait
from gateway.sdk.clock import Clock
from gateway.sdk.errors import OverBudget, RetryLater
from gateway.settings import Settings
from gateway.storage.budgets import BudgetRow, day_of
from gateway_schemas.manifest import CallWindow, RateBudget

LANE = "vendor:toy:c1"
BUDGET = RateBudget(
    burst_calls=10,
    burst_seconds=2,
    windows=[CallWindow(name="search", calls=4, seconds=2)],
    daily=1000,
    remaining_header="x-left",
    limit_header="x-limit",
    sweep_share=0.05,
)


@pytest.mark.parametrize(("calls", "seconds"), [(1, 1), (4, 2), (10, 2), (80, 2)])
def test_no_window_ever_holds_more_calls_than_allowed(calls, seconds):
    window = RollingWindow(calls, seconds)
    at = 0.0
    moments = []
    for _ in range(500):
        moments.append(at + window.reserve(at, longest_wait=1e9))
        at += 0.003
    assert moments == sorted(moments)
    for first, later in zip(moments, moments[calls:], strict=False):
        assert later - first >= seconds


def test_an_idle_window_lets_calls_through_at_once():
    window = RollingWindow(3, 2)
    assert [window.reserve(100.0, 1e9) for _ in range(3)] == [0, 0, 0]
    assert window.reserve(110.0, 1e9) == 0


def test_a_wait_that_is_too_long_takes_nothing():
    window = RollingWindow(1, 2)
    window.reserve(0.0, 5)
    assert window.reserve(0.0, 1) == pytest.approx(-2.2)
    assert window.reserve(0.0, 5) == pytest.approx(2.2)


class World:
    def __init__(self, *, reserve=20, **row):
        self.clock = Clock()
        self.clock.offset = datetime(2026, 3, 1, 12, tzinfo=UTC) - datetime.now(UTC)
        self.remembered = BudgetMemory()
        now = self.clock.now()
        self.use = DailyUse(BudgetRow(lane=LANE, day=day_of(now), **row), now)
        self.use.told_at = now + timedelta(days=1)  # nothing is told to a database here
        self.remembered.days[LANE, day_of(now)] = self.use
        self.slept = []
        self.services = SimpleNamespace(
            clock=self.clock,
            memory=lambda _: self.remembered,
            database=None,
            settings=Settings(signup_reserve_percent=reserve),
        )

    def meter(self, purpose, memory=None, seconds_left=10.0):
        async def sleep(seconds):
            self.slept.append(seconds)

        return LaneMeter(
            self.services,
            LANE,
            BUDGET,
            purpose=purpose,
            memory={} if memory is None else memory,
            seconds_left=lambda: seconds_left,
            sleep=sleep,
        )


async def test_tasks_leave_the_kept_back_share_of_the_burst_to_people():
    world = World()
    memory = {}
    meter = world.meter("task", memory)
    for _ in range(8):
        await meter.before(1)
    assert world.slept == []
    await meter.before(1)
    assert world.slept[0] == pytest.approx(2.2, abs=0.1)


async def test_a_narrower_window_holds_up_only_the_calls_that_count_in_it():
    world = World()
    meter = world.meter("task", {})
    for _ in range(3):  # one of the four is kept back for people
        await meter.before(1, window="search")
    await meter.before(1)
    await meter.before(1, window="unknown")
    assert world.slept == []
    await meter.before(1, window="search")
    assert world.slept == [pytest.approx(2.2, abs=0.1)]


async def test_a_call_does_not_wait_longer_than_its_task_may():
    world = World()
    meter = world.meter("task", seconds_left=1.0)
    for _ in range(8):
        await meter.before(1)
    with pytest.raises(RetryLater) as refused:
        await meter.before(1)
    assert 1 < refused.value.after_seconds < 3
    assert not refused.value.lane_wide
    assert world.use.used == 8


@pytest.mark.parametrize(("purpose", "left"), [("task", 100), ("bulk", 300), ("feed", 200), ("sweep", 200)])
async def test_each_purpose_stops_at_what_is_kept_back_for_the_ones_before_it(purpose, left):
    world = World(used=1000 - left - 1)
    meter = world.meter(purpose)
    await meter.before(1)
    with pytest.raises(RetryLater, match="kept back"):
        await meter.before(1)


@pytest.mark.parametrize(("percent", "left"), [(5, 150), (50, 600), (80, 900)])
async def test_the_signups_reserve_of_the_day_is_a_setting(percent, left):
    world = World(reserve=percent, used=1000 - left - 1)
    await world.meter("bulk").before(1)
    with pytest.raises(OverBudget, match="kept back"):
        await world.meter("bulk").before(1)
    await world.meter("task").before(1)


async def test_bulk_work_leaves_places_of_the_burst_window_to_signups():
    world = World()
    memory = {}
    bulk, signup = world.meter("bulk", memory, seconds_left=0.1), world.meter("task", memory, seconds_left=0.1)
    for _ in range(6):
        await bulk.before(1)
    with pytest.raises(OverBudget):
        await bulk.before(1)
    for _ in range(2):
        await signup.before(1)
    assert not world.slept


async def test_sweeps_and_polls_get_their_share_and_no_more():
    world = World()
    world.clock.advance(timedelta(hours=11, minutes=30))
    for _ in range(50):
        await world.meter("feed").before(1)
    with pytest.raises(RetryLater, match="share"):
        await world.meter("first_look").before(1)
    await world.meter("task").before(1)
    assert (world.use.used, world.use.background) == (51, 50)


async def test_the_share_lasts_until_the_day_ends():
    world = World()  # at noon: half of the 50 units, and a head start of three calls
    for _ in range(28):
        await world.meter("feed").before(1)
    with pytest.raises(RetryLater, match="28 of 50 units used") as refused:
        await world.meter("feed").before(1)
    assert 1700 < refused.value.after_seconds <= 1728
    assert not refused.value.lane_wide
    await world.meter("first_look").before(1)
    world.clock.advance(timedelta(seconds=2 * 1728))
    await world.meter("feed").before(1)


async def test_sweeps_leave_half_of_it_to_feeds():
    world = World()
    for _ in range(14):
        await world.meter("sweep").before(1)
    with pytest.raises(RetryLater, match="share"):
        await world.meter("sweep").before(1)
    for _ in range(14):
        await world.meter("feed").before(1)
    assert (world.use.background, world.use.sweeps) == (28, 14)


HOUR = 3600


@pytest.mark.parametrize(
    ("kind", "hours", "used", "sweeps", "cost", "wait"),
    [
        ("feed", 0, 0, 0, 10, 0),  # a share of 2,400 units: 100 an hour, and a hundred to begin with
        ("feed", 0, 90, 0, 10, 0),
        ("feed", 0, 100, 0, 10, HOUR / 10),
        ("feed", 0, 0, 0, 80, 0),  # three dear calls, where an hour's worth is less
        ("feed", 0, 80, 0, 80, 0),
        ("feed", 0, 240, 0, 80, 0.8 * HOUR),
        ("feed", 12, 1290, 0, 10, 0),
        ("feed", 12, 1300, 0, 10, HOUR / 10),
        ("feed", 23.5, 2390, 0, 10, 0),
        ("feed", 23.5, 2400, 0, 10, None),
        ("first_look", 0, 2390, 1200, 10, 0),
        ("first_look", 12, 2395, 0, 10, None),
        ("sweep", 0, 0, 0, 10, 0),
        ("sweep", 0, 40, 40, 10, 0),
        ("sweep", 0, 50, 50, 10, HOUR / 5),  # half of what has accrued
        ("sweep", 12, 640, 640, 10, 0),
        ("sweep", 12, 650, 650, 10, HOUR / 5),
        ("sweep", 12, 1300, 130, 10, HOUR / 10),  # nothing left, and the tenth is used
        ("sweep", 12, 1300, 120, 10, 0),  # the tenth is theirs, though feeds have used all that accrued
        ("sweep", 23.9, 1200, 1195, 10, None),
        ("feed", 1, 0, 0, 0, 0),
    ],
)
def test_what_background_work_waits_for(kind, hours, used, sweeps, cost, wait):
    found = background_wait(kind, 2400, hours * HOUR, used=used, sweeps=sweeps, cost=cost)
    assert found == (None if wait is None else pytest.approx(wait))


@pytest.mark.parametrize("kind", ["feed", "sweep", "first_look"])
def test_without_a_share_there_is_no_background_work(kind):
    assert background_wait(kind, 0, 100, used=0, sweeps=0, cost=1) is None


async def test_the_vendors_headers_correct_the_count():
    world = World()
    meter = world.meter("task")
    await meter.before(10)
    meter.after(httpx.Response(200, headers={"x-left": "150", "x-limit": "2000"}), 10)
    assert world.use.left(BUDGET.daily) == 150
    with pytest.raises(RetryLater, match="150 units left, 200 kept back"):
        await meter.before(10)
    meter.after(httpx.Response(200, headers={"x-left": "nonsense"}), 10)
    assert world.use.left(BUDGET.daily) == 150


async def test_a_budget_that_is_used_up_is_tried_again_once_an_hour():
    world = World(used=1000)
    meter = world.meter("task")
    await meter.before(1)
    for _ in range(3):
        with pytest.raises(RetryLater) as refused:
            await meter.before(1)
    assert refused.value.lane_wide
    assert refused.value.after_seconds == 3600
    world.clock.advance(timedelta(hours=1))
    await meter.before(1)
    meter.after(httpx.Response(200, headers={"x-left": "900"}), 1)
    await meter.before(1)


def test_without_a_daily_limit_nothing_is_counted_down():
    use = DailyUse(BudgetRow(lane=LANE, day="2026-03-01"), datetime.now(UTC))
    use.count(10)
    assert use.left(None) is None
    use.learn(100, 80)
    assert use.left(None) == 80


def test_a_lane_runs_as_many_tasks_together_as_its_vendors_manifest_says():
    toy = SimpleNamespace(key="toy", manifest=SimpleNamespace(rate_budget=BUDGET))
    free = SimpleNamespace(key="free", manifest=SimpleNamespace(rate_budget=None))
    limits = lane_limits(SimpleNamespace(integrations=[toy, free]))
    assert limits(LANE).concurrency == BUDGET.concurrency
    assert {limits(lane).concurrency for lane in ("vendor:free:1", "endpoint:toy", "internal")} == {16}


def test_an_answer_does_not_know_of_calls_that_are_under_way():
    now = Clock().now()
    use = DailyUse(BudgetRow(lane=LANE, day=day_of(now)), now)
    for _ in range(3):
        use.count(5)
        use.begin(5, now)
    use.end(5)
    use.learn(1000, 700)
    assert use.left(None) == 690
    use.begin(5, now + timedelta(seconds=61))  # the two were never answered
    use.learn(1000, 600)
    assert use.left(None) == 595
