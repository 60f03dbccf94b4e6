"""Translate sentences that were composed with values: find the template by its words, translate it, put the values in.

Flows and plugins store and raise English sentences (``sentences.py``). A catalogue knows them as templates with named
placeholders. Which one a text came from is told by its literal words: of all templates that fit, the one with the most.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from gettext import GNUTranslations, NullTranslations
from typing import Any, NamedTuple

_PLACEHOLDER = re.compile(r"%\((\w+)\)s")
_END = re.compile(r"(?<=[.!?]) ")
LEAST = 4
"""Letters of its own that a template has at least: what has fewer could be anything."""

DEPTH = 3
"""So deep a sentence in a sentence is translated."""

MOST = 12
"""Sentences of a text that is looked through piece by piece."""

Found = tuple[str, dict[str, str] | None]
"""A translation, and the values to put into it; null: it is whole."""


class Template(NamedTuple):
    """A template of a catalogue.

    Attributes:
        pieces: What stands before, between and behind its placeholders; one more than these.
        names: Of the placeholders, in the order of the text.
        longest: The longest piece: quickly looked for.
        weight: How many letters are its own.
        translated: The template in the language of the catalogue.
    """

    pieces: tuple[str, ...]
    names: tuple[str, ...]
    longest: str
    weight: int
    translated: str

    def values_in(self, text: str) -> dict[str, str] | None:
        """Return what a text has in place of the placeholders; ``None`` when it was not made from this template.

        Each piece is taken where it comes first, so that the time grows with the text alone: people type some of it.
        """
        first, *between, last = self.pieces
        if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
            return None
        at, end = len(first), len(text) - len(last)
        given = []
        for piece in between:
            found = text.find(piece, at, end)
            if found < 0:
                return None
            given.append(text[at:found])
            at = found + len(piece)
        given.append(text[at:end])
        values: dict[str, str] = {}
        for name, value in zip(self.names, given, strict=True):
            if values.setdefault(name, value) != value:
                return None
        return values


def templates_of(catalogue: NullTranslations | GNUTranslations) -> list[Template]:
    """Return a catalogue's templates, those with the most words of their own first."""
    known: dict[Any, str] = getattr(catalogue, "_catalog", {})
    found = []
    for english, translated in known.items():
        if isinstance(english, str) and translated and (made := _template(english, translated)) is not None:
            found.append(made)
    return sorted(found, key=lambda one: (one.weight, sum(map(len, one.pieces))), reverse=True)


def _template(english: str, translated: str) -> Template | None:
    parts = _PLACEHOLDER.split(english)
    pieces = tuple(one.replace("%%", "%") for one in parts[::2])
    weight = sum(sum(map(str.isalpha, one)) for one in pieces)
    if len(parts) == 1 or weight < LEAST:
        return None
    return Template(pieces, tuple(parts[1::2]), max(pieces, key=len), weight, translated)


class Composed:
    """What a catalogue knows of whole sentences.

    Args:
        catalogue: Of the console or of a plugin, in one language.
    """

    def __init__(self, catalogue: NullTranslations | GNUTranslations) -> None:
        self._catalogue = catalogue
        self._templates = templates_of(catalogue)
        self.find: Callable[[str], Found | None] = lru_cache(maxsize=4096)(self._find)
        """Return what a text is in this catalogue; ``None``: it does not know it."""

    def _find(self, text: str) -> Found | None:
        translated = self._catalogue.gettext(text) if text else ""
        if translated != text:
            return translated, None
        for one in self._templates:
            if one.longest in text and (values := one.values_in(text)) is not None:
                return one.translated, values
        return None


def translate(text: str, catalogues: Sequence[Composed], depth: int = 0) -> str:
    """Return a text by the first catalogue that knows it, or sentence by sentence; English where none does."""
    if depth > DEPTH:
        return text
    if (whole := _whole(text, catalogues, depth)) is not None:
        return whole
    sentences = _END.split(text)
    if not 1 < len(sentences) <= MOST:
        return text
    said, at = [], 0
    while at < len(sentences):
        for end in range(len(sentences), at, -1):
            part = " ".join(sentences[at:end])
            found = _whole(part, catalogues, depth)
            if found is not None or end == at + 1:
                said.append(part if found is None else found)
                at = end
                break
    return " ".join(said)


def _whole(text: str, catalogues: Sequence[Composed], depth: int) -> str | None:
    for one in catalogues:
        if (found := one.find(text)) is not None:
            translated, values = found
            if values is None:
                return translated
            return translated % {name: translate(value, catalogues, depth + 1) for name, value in values.items()}
    return None
