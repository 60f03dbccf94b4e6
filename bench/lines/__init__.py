"""One module a line of ``just bench``: ``async def measure(setting) -> list[Figure]``; its docstring says what it is.

A new line is a new module here; nothing else knows the names.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from bench.measuring import Figure
from bench.world import Databases


@dataclass(frozen=True)
class Setting:
    """What a line is given.

    Attributes:
        databases: Gives new databases.
        folder: For files of its own.
        pairs: How often each of two things that are compared runs.
        scale: How much of the full size is measured; 0 shows that the line works, and nothing else.
    """

    databases: Databases
    folder: Path
    pairs: int
    scale: float

    def size(self, full: int, least: int) -> int:
        """Return how many of something: the full number by the scale, ``least`` at least."""
        return max(least, round(full * self.scale))


Line = Callable[[Setting], Awaitable[list[Figure]]]


def lines() -> dict[str, Line]:
    """Return every line by the name of its module."""
    return {one.name: import_module(f"{__name__}.{one.name}").measure for one in iter_modules(__path__)}
