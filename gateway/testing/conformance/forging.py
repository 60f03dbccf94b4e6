"""Forgeries of the calls that a vendor makes: each of them must be refused, and the genuine call taken.

A header that proves a call may have parts (``t=1700000000,v1=5257a8…``). What a careless check lets pass is a header
that has the parts and proves nothing, so each part is changed by itself, and the look of the others is kept.
"""

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import httpx

from gateway.testing.conformance.rules import expect
from gateway.testing.driver import HasUnprovenParts
from gateway.testing.world import World

_PARTED = re.compile(r"([,;])")
_KEYED = re.compile(r"\s*([A-Za-z0-9_.-]+)=(?=.*[A-Za-z0-9])")


HINT = "; a part that proves nothing is named by the driver's unproven_parts"


@dataclass(frozen=True)
class Part:
    """A part of a header: what stands before the value, and the value; ``name`` is its key or its number."""

    name: str
    head: str
    value: str
    keyed: bool

    @property
    def text(self) -> str:
        """The part as it came."""
        return self.head + self.value


async def forge(world: World, request: httpx.Request) -> None:
    """Send a genuine call forged in every way.

    Raises:
        Broken: One was not refused, or the call carries no proof.
    """
    headers = world.driver.proof_headers
    expect(headers, "the driver names no proof_headers")
    carried = [name for name in headers if name in request.headers]
    expect(carried, f"the vendor's call carries none of {list(headers)}")
    await _refused(world, request, "no proof", without=headers)
    for name in carried:
        await _refused(world, request, f"no {name}", without=[name])
        for what, value in forgeries(name, request.headers[name], _unproven(world)):
            await _refused(world, request, what, change={name: value}, hint=HINT if "part" in what else "")
    if world.driver.signs_body:
        await _refused(world, request, "another body", body=request.content + b" ")


async def _refused(world: World, request: httpx.Request, what: str, *, hint: str = "", **changes: Any) -> None:
    answer = await world.mailbox.send(request, **changes)
    expect(answer.status_code == 401, f"a call with {what} was answered {answer.status_code}, not 401{hint}")


def _unproven(world: World) -> Container[str]:
    return world.driver.unproven_parts if isinstance(world.driver, HasUnprovenParts) else ()


def forgeries(header: str, value: str, unproven: Container[str] = ()) -> Iterator[tuple[str, str]]:
    """Return what every correct check refuses instead of a header's value, each with words of what was done.

    Args:
        header: Its name, for the words.
        value: The genuine value.
        unproven: Keys of parts that prove nothing; they are left as they are.
    """
    scheme, space, rest = value.rpartition(" ")
    yield f"an empty {header}", ""
    yield f"another {header}", scheme + space + "".join(map(_another, rest))
    parts, between = parts_of(value)
    for place, part in enumerate(parts):
        if (part.keyed and part.name in unproven) or not part.value:
            continue
        where = f"{header}, part {part.name!r}" if len(parts) > 1 or part.keyed else header
        changed = {
            f"another value of {where}": part.head + "".join(map(_another, part.value)),
            f"one character of {where} changed": part.head + _nearly(part.value),
            f"half of {where}": part.head + part.value[: len(part.value) // 2],
        }
        if part.keyed:
            changed[f"nothing in {where}"] = part.head
        texts = [one.text for one in parts]
        for what, text in changed.items():
            yield what, _joined([*texts[:place], text, *texts[place + 1 :]], between)
        if len(parts) > 1:
            yield f"no part {part.name!r} in {header}", _joined([*texts[:place], *texts[place + 1 :]], between)


def parts_of(value: str) -> tuple[list[Part], list[str]]:
    """Return the parts of a header, and what separates them; a scheme (``Basic …``) belongs to no value."""
    pieces = _PARTED.split(value)
    return [_part(number, text) for number, text in enumerate(pieces[::2], start=1)], pieces[1::2]


def _part(number: int, text: str) -> Part:
    if (keyed := _KEYED.match(text)) is not None:
        return Part(keyed[1], text[: keyed.end()], text[keyed.end() :], keyed=True)
    head, space, tail = text.rpartition(" ")
    return Part(str(number), head + space, tail, keyed=False)


def _joined(texts: list[str], between: list[str]) -> str:
    return "".join(text + mark for text, mark in zip_longest(texts, between[: len(texts) - 1], fillvalue=""))


def _another(letter: str) -> str:
    """Return a letter for a letter and a digit for a digit, so that the look is kept: never the same one."""
    if letter.isdigit():
        return "0" if letter != "0" else "1"
    if letter.isalpha():
        return "A" if letter not in "aA" else "B"  # hex digits are the same in either case
    return letter


def _nearly(value: str) -> str:
    """Change one character near the end, and no more.

    The last but one: in base64 the last one may hold bits that mean nothing.
    """
    places = [place for place, letter in enumerate(value) if letter.isalnum()]
    if not places:
        return f"{value}A"
    place = places[-2] if len(places) > 1 else places[-1]
    return value[:place] + _another(value[place]) + value[place + 1 :]
