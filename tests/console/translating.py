"""Catalogues in another language, made for a test."""

from collections.abc import Mapping
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
