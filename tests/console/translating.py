"""Catalogues in another language, made for a test."""

import re
from collections.abc import Collection, Mapping
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo


def translate(folder: Path, domain: str, pairs: Mapping[str, str]) -> None:
    """Write a compiled German catalogue of these texts."""
    made = Catalog(locale="de")
    for english, german in pairs.items():
        made.add(english, german)
    place = folder / "de" / "LC_MESSAGES"
    place.mkdir(parents=True)
    written = BytesIO()
    write_mo(written, made)
    (place / f"{domain}.mo").write_bytes(written.getvalue())


# --- a language that is easily told from English ---------------------------------------------------------------

_ACCENTS = str.maketrans("aeiouyAEIOUY", "áéíöüýÁÉÍÖÜÝ")
_PLACEHOLDER = re.compile(r"(%\(\w+\)s)")
_RUN = re.compile(r"\b[A-Za-z]+(?: [a-z]+){2,}")
"""Three words or more without one accent: a sentence, or a part of one, and no name."""


def accented(text: str) -> str:
    """Return an English text as the language that accents each vowel says it."""
    return "".join(
        part if index % 2 else part.translate(_ACCENTS) for index, part in enumerate(_PLACEHOLDER.split(text))
    )


def accent(folder: Path, domain: str, english: Catalog) -> set[str]:
    """Write a whole catalogue in that language, under German; return the English texts without values."""
    pairs: dict[str, str] = {}
    made = Catalog(locale="de")
    for message in english:
        if not message.id:
            continue
        if isinstance(message.id, tuple):
            made.add(message.id, tuple(accented(one) for one in message.id))
        else:
            pairs[message.id] = accented(message.id)
            made.add(message.id, pairs[message.id])
    place = folder / "de" / "LC_MESSAGES"
    place.mkdir(parents=True, exist_ok=True)
    written = BytesIO()
    write_mo(written, made)
    (place / f"{domain}.mo").write_bytes(written.getvalue())
    return {one for one in pairs if one != pairs[one] and "%(" not in one}


class Spoken(HTMLParser):
    """What people read on a page: texts and attributes, without code, times and what they typed themselves."""

    SILENT = frozenset({"code", "pre", "time", "script", "style"})
    ATTRIBUTES = ("aria-label", "title", "placeholder", "alt", "data-copied")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._silent = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self.SILENT:
            self._silent += 1
        elif not self._silent:
            self.texts += [value for name, value in attrs if name in self.ATTRIBUTES and value]

    def handle_endtag(self, tag: str) -> None:
        if tag in self.SILENT:
            self._silent -= 1

    def handle_data(self, data: str) -> None:
        if not self._silent and data.strip():
            self.texts.append(" ".join(data.split()))


def english_in(html: str, known: set[str], data: Collection[str], names: Collection[str] = ()) -> list[str]:
    """Return what a page says in English still: known texts, and runs of plain words.

    Args:
        html: The page.
        known: English texts of the catalogues.
        data: What people and vendors said, wherever it stands.
        names: What a vendor calls its fields: also texts of a catalogue now and then.
    """
    found = []
    for text in Spoken(html).texts:
        left = text
        for one in data:
            left = left.replace(one, "·")
        if left not in names and (left in known or _RUN.search(left)):
            found.append(text)
    return found
