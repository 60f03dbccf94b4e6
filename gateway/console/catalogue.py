"""The catalogue of texts for translators: ``python -m gateway.console.catalogue`` writes it.

``gateway/console/locales/console.pot`` holds the console's own texts; ``locales/{key}.pot`` beside a plugin's modules
those of its manifest. A translation is a folder ``locales/{language}/LC_MESSAGES`` with a compiled ``.mo`` of the same
name (``pybabel init``, ``pybabel compile``).
"""

from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import entry_points
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import write_po

from gateway.console import activity, campaigns, integrations, people, syncs, texts
from gateway.console.notices import NOTICES
from gateway.console.sentences import in_folder, in_source
from gateway.errors import PROBLEMS
from gateway.flows.signups.held import HELD_MESSAGES
from gateway.plugins import GROUP
from gateway.sdk.mapping import SOURCES
from gateway_schemas.manifest import Manifest

HERE = Path(__file__).parent
METHODS = [("templates/**.html", "jinja2.ext:babel_extract"), ("**.py", "python")]
KEYWORDS: dict[str, Any] = {"_": None, "say": None, "ngettext": (1, 2)}
THINGS = (
    "account", "campaign", "connection", "contact sync", "delivery", "endpoint", "integration", "person", "reward"
)  # fmt: skip
"""What "There is no … here" may name on a page."""

TOOLS = ("catalogue.py", "sentences.py", "composed.py")
SILENT = ("sandbox", "sandbox.py", "testing", "tests", "settings.py")
"""Of a plugin: what speaks to developers and operators."""

SPOKEN = frozenset(
    {"label", "why", "title", "summary", "description", "message", "help", "value_ready", "no_write_back"}
)
"""Fields of a manifest that people read, beside the lists of instructions."""


def console_texts() -> Catalog:
    """Return every text of the console: of templates, and of tables of words."""
    catalogue = _new("console")
    found = extract_from_dir(HERE, METHODS, keywords=KEYWORDS, strip_comment_tags=True)
    for name, _, message, _, _ in sorted(found, key=lambda one: (one[0], one[1])):
        catalogue.add(message, locations=[(f"gateway/console/{name}", 0)])
    for text in _words():
        catalogue.add(text)
    for place, without in (("flows", ()), ("console", TOOLS)):
        for name, text in in_folder(HERE.parent / place, without=without):
            catalogue.add(text, locations=[(f"gateway/{place}/{name}", 0)])
    for text in in_source((HERE.parent / "errors.py").read_text(encoding="utf-8")):
        catalogue.add(text)
    return catalogue


def _words() -> Iterator[str]:
    yield from NOTICES.values()
    for table in (integrations.STATES, campaigns.SYNC_STATES, activity.WORDS):
        yield from (word for word, _ in table.values())
    for plain in (people.WORDS, activity.KINDS, syncs.REASONS, HELD_MESSAGES):
        yield from plain.values()
    yield from (label for _, label in campaigns.ROLES)
    yield from syncs.STEPS
    yield from THINGS
    yield from (source.label for source in SOURCES.values())
    for kind in PROBLEMS.values():
        yield from (kind.title, kind.advice)


def plugin_texts(manifest: Manifest, folder: Path) -> Catalog:
    """Return what people read of a manifest, and of what the plugin says when something is refused."""
    catalogue = _new(manifest.key)
    for text in _spoken(msgspec.to_builtins(manifest)):
        catalogue.add(text)
    for name, text in in_folder(folder, without=SILENT):
        catalogue.add(text, locations=[(name, 0)])
    return catalogue


def _spoken(value: Any, name: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, one in value.items():
            if key != "settings":
                yield from _spoken(one, key)
    elif isinstance(value, list):
        for one in value:
            yield from _spoken(one, "label" if name == "instructions" else name)
    elif isinstance(value, str) and value and name in SPOKEN:
        yield value


def _new(project: str) -> Catalog:
    # without dates and people, so that the same texts give the same file
    header = f"# Texts of {project}; the English text is the key."
    return Catalog(project=project, header_comment=header, charset="utf-8")


def as_text(catalogue: Catalog) -> str:
    """Return a catalogue as the text of a ``.pot`` file."""
    written = BytesIO()
    write_po(written, catalogue, sort_output=True, no_location=True, omit_header=True)
    return f"{catalogue.header_comment}\n{written.getvalue().decode()}"


def files() -> dict[Path, str]:
    """Return every catalogue file of this installation and what it should hold."""
    found = {texts.HERE / "console.pot": as_text(console_texts())}
    for point in sorted(entry_points(group=GROUP), key=lambda one: one.name):
        path = import_module(point.module.partition(".")[0]).__file__
        manifest = getattr(import_module(f"{point.module.partition('.')[0]}.manifest"), "MANIFEST", None)
        if path is not None and isinstance(manifest, Manifest):
            found[Path(path).parent / "locales" / f"{point.name}.pot"] = as_text(
                plugin_texts(manifest, Path(path).parent)
            )
    return found


def main() -> None:
    """Write the catalogues."""
    for path, text in files().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
