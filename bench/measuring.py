"""What the lines measure with: pairs of runs, percentiles, CPU time and memory of processes, and the table."""

import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import psutil


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One row of the table.

    Attributes:
        line: The module of ``bench/lines`` that measured it.
        what: In words, with its unit.
        database: Where it was measured; empty where it does not matter.
        value: The number to quote; the median where there are several.
        low: The smallest of them; ``high``: the largest.
        aim: What we want it to be; none: it is told for comparison.
        better: Whether more or less of it is better.
    """

    line: str
    what: str
    value: float
    database: str = ""
    low: float | None = None
    high: float | None = None
    aim: float | None = None
    better: Literal["more", "less"] = "more"

    @property
    def met(self) -> bool | None:
        """Whether the aim is met; ``None`` without an aim."""
        if self.aim is None:
            return None
        return self.value >= self.aim if self.better == "more" else self.value <= self.aim

    def as_dict(self) -> dict[str, Any]:
        """Return the row as plain data."""
        return {**asdict(self), "met": self.met}


def of_runs(line: str, what: str, values: Sequence[float], **more: Any) -> Figure:
    """Return the figure of several runs: their median, with the smallest and the largest beside it."""
    return Figure(line=line, what=what, value=statistics.median(values), low=min(values), high=max(values), **more)


@dataclass(frozen=True)
class Run:
    """One run of something: how much was done, in which time, with how much CPU time."""

    done: int
    seconds: float
    cpu_seconds: float

    @property
    def per_second(self) -> float:
        """How much was done in a second."""
        return self.done / self.seconds

    @property
    def per_cpu_second(self) -> float:
        """How much was done in a second of CPU time."""
        return self.done / max(self.cpu_seconds, 1e-9)

    @property
    def cpu_ms(self) -> float:
        """Milliseconds of CPU time for one."""
        return 1000 * self.cpu_seconds / self.done


async def timed(work: Callable[[], Awaitable[int]], pid: int | None = None) -> Run:
    """Run ``work``, which returns how much it did; CPU time is that of process ``pid``, or of this one."""
    process = psutil.Process(pid)
    cpu, wall = _cpu(process), time.perf_counter()
    done = await work()
    return Run(done, time.perf_counter() - wall, _cpu(process) - cpu)


async def in_turns(
    ours: Callable[[], Awaitable[Run]], bare: Callable[[], Awaitable[Run]], pairs: int
) -> list[tuple[Run, Run]]:
    """Run both in turns, A B A B …, after one of each that is not counted.

    A machine that others use changes its speed from minute to minute: the ratio of two runs side by side does not.
    """
    await ours()
    await bare()
    return [(await ours(), await bare()) for _ in range(pairs)]


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value below which ``percent`` of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(len(ordered) * percent / 100))]


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process, in MiB."""
    return psutil.Process(pid).memory_info().rss / 2**20


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
