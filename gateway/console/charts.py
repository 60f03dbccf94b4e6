"""A chart of days as SVG, drawn here: no script, no picture service; the page has the same as a table. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.flows.overview import Day

WIDTH, HEIGHT = 720, 190
SMALL = 310
"""Width on a phone."""

LEFT, RIGHT, TOP, BOTTOM = 38, 6, 10, 24


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle with what it stands for."""

    x: float
    y: float
    width: float
    height: float
    style: str
    title: str


@dataclass(frozen=True, slots=True)
class Chart:
    """What the template draws.

    Attributes:
        grid: Height and number of each line.
        ticks: Place and text below the days.
    """

    bars: list[Bar]
    grid: list[tuple[float, int]]
    ticks: list[tuple[float, str]]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT


def draw(days: Sequence[Day], names: tuple[str, str, str], width: int = WIDTH) -> Chart:
    """Return three bars a day: signups, qualified, failed.

    Args:
        days: In order; at least one.
        names: Of the three, for the titles of the bars.
        width: Of the whole chart, as wide as it is shown: text that is scaled down cannot be read.
    """
    top = nice_top(max((max(one.signups, one.qualified, one.failed) for one in days), default=0))
    inner, base = width - LEFT - RIGHT, HEIGHT - BOTTOM
    step = inner / len(days)
    bar_width = max(1.0, step * 0.78 / 3)
    bars = []
    for number, day in enumerate(days):
        x = LEFT + number * step + step * 0.11
        for place, value in enumerate((day.signups, day.qualified, day.failed)):
            if value:
                height = max(1.5, (base - TOP) * value / top)
                title = f"{day.day.isoformat()}: {names[place]} {value}"
                bars.append(
                    Bar(
                        x=round(x + place * bar_width, 1),
                        y=round(base - height, 1),
                        width=round(bar_width * 0.92, 1),
                        height=round(height, 1),
                        style=f"c{place + 1}",
                        title=title,
                    )
                )
    grid = [(round(base - (base - TOP) * part / 2, 1), top * part // 2) for part in (0, 1, 2)]
    every = max(1, len(days) // 6)
    ticks = [
        (round(LEFT + number * step + step / 2, 1), f"{day.day:%d.%m.}")
        for number, day in enumerate(days)
        if (len(days) - 1 - number) % every == 0
    ]
    return Chart(bars=bars, grid=grid, ticks=ticks, width=width)


def nice_top(value: int) -> int:
    """Return the number at the top of the scale, one of 2, 4, 10, 20, 40, 100 and so on."""
    factor = 1
    while True:
        for step in (2, 4, 10):
            if step * factor >= value:
                return step * factor
        factor *= 10
