"""Who follows a citation arrives: chapters of ``VENDOR.md``, places in the code that it names, and files are there."""

import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGINS = sorted(path.parent for path in (ROOT / "plugins").glob("*/pyproject.toml"))
PAGES = [plugin / "VENDOR.md" for plugin in PLUGINS if (plugin / "VENDOR.md").exists()]
SUFFIXES = {".css", ".html", ".js", ".json", ".md", ".py", ".toml", ".txt", ".yaml", ".yml"}
GENERATED = {"__pycache__", "build", "dist", "htmlcov", "node_modules"}

NUMBER = r"\d+(?:\.\d+)?"
CHAPTERS = re.compile(rf"\bchapters?\s+({NUMBER}(?:(?:, and|, or|,| and| or| to)\s+{NUMBER})*)")
"""``chapter 7.4``, ``chapters 5, 7.4 and 9``, ``chapters 7.4 to 7.8``; words in brackets between them are taken out."""

OUTSIDE = re.compile(r"(?<![\w.-])(?:\.\./)*(?:vendor/[\w./-]*\w\.md|shared/[\w.-][\w./-]*)")


def files(folder):
    """Walk the files that people wrote, without what tools put beside them."""
    for place, folders, names in os.walk(folder):
        folders[:] = [one for one in folders if one not in GENERATED and (one[0] != "." or one in (".ci", ".github"))]
        yield from (Path(place) / name for name in sorted(names) if Path(name).suffix in SUFFIXES)


def cited(text):
    """Return the chapters that a text cites: of a range both ends and what lies between."""
    plain = re.sub(r"\s*\([^()]*\)", "", re.sub(r"\s+", " ", text))
    # What stands in brackets may be a citation itself.
    for words in CHAPTERS.findall(plain) + CHAPTERS.findall(re.sub(r"\s+", " ", text)):
        for first, last in re.findall(rf"({NUMBER})(?: to ({NUMBER}))?", words):
            yield from _between(first, last) if last else (first,)


def _between(first, last):
    *above, start = first.split(".")
    *others, end = last.split(".")
    assert above == others, f"chapters {first} to {last}: the two are not of one level"
    return [".".join([*above, str(number)]) for number in range(int(start), int(end) + 1)]


def headings(page):
    return set(re.findall(rf"^##+ ({NUMBER})\.? ", page.read_text(), re.MULTILINE))


@pytest.mark.parametrize(
    ("text", "chapters"),
    [
        ("Source: ``VENDOR.md``, chapter 7.4.", {"7.4"}),
        ("chapters 5, 7.4 and 7.5. A ``filter_id``", {"5", "7.4", "7.5"}),
        ("chapters 7.4 to 7.6 and 9 (step 5)", {"7.4", "7.5", "7.6", "9"}),
        ("chapters 2 (two\n    words) and 4 (all others), and the rest", {"2", "4"}),
        ("is lost (``VENDOR.md``, chapter 8.1)", {"8.1"}),
        ("how long a walk takes, in chapter and verse", set()),
    ],
)
def test_citations_are_read(text, chapters):
    assert set(cited(text)) == chapters


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: plugin.name)
def test_each_cited_chapter_is_a_heading_of_the_plugins_own_page(plugin):
    page = plugin / "VENDOR.md"
    known = headings(page) if page.exists() else set()
    texts = {path.relative_to(plugin): path.read_text() for path in files(plugin) if path.suffix in (".md", ".py")}
    missing = {f"{path}: chapter {one}" for path, text in texts.items() for one in cited(text) if one not in known}
    assert missing == set()
    assert page.exists() or not any("VENDOR.md" in text for text in texts.values())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_each_chapter_says_where_it_was_learnt(page):
    chapters = re.split(r"^## (?=\d)", page.read_text(), flags=re.MULTILINE)[1:]
    silent = [one.splitlines()[0] for one in chapters if not re.search(r"^Sources?: ", one, re.MULTILINE)]
    assert silent == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_each_place_in_the_code_that_a_page_names_is_there(page):
    package = next(page.parent.glob("gateway_*"))
    modules = {
        ".".join(path.relative_to(package).with_suffix("").parts): path.read_text() for path in package.rglob("*.py")
    }
    text = page.read_text()
    lost = {name for name in re.findall(r"`([a-z_]+(?:\.\w+)+)`", text) if not _is_named(name, modules)}
    lost |= {name for name in re.findall(r"options? `(\w+)`", text) if name not in modules["sandbox.core"]}
    for row in re.findall(
        r"^\| (.*) \|$", text.partition("| method of `client` |")[2].partition("\n\n")[0], re.MULTILINE
    ):
        lost |= {
            name for name in re.findall(r"`(\w+)`", row.split(" | ")[0]) if f"def {name}(" not in modules["client"]
        }
    for row in re.findall(r"^\| (.*) \|$", text.partition("## 13. ")[2], re.MULTILINE):
        lost |= {name for name in re.findall(r"`([\w.]+)`", row.split(" | ")[-1]) if name not in modules}
    assert lost == set()


def test_no_file_cites_another_that_is_not_in_the_tree():
    lost = {
        f"{path.relative_to(ROOT)}: {found}"
        for path in files(ROOT)
        for found in OUTSIDE.findall(path.read_text())
        if not any(_is_in_the_tree(folder / found) for folder in (ROOT, path.parent))
    }
    assert lost == set()


def _is_named(name, modules):
    """Say whether a name with dots is a module or something in one; what begins with none is the vendor's."""
    module = max((one for one in modules if f"{name}.".startswith(f"{one}.")), key=len, default=None)
    if module is None:
        return not name.startswith("sandbox.")
    rest = name[len(module) + 1 :]
    return not rest or re.search(rf"\b{rest}\b", modules[module]) is not None


def _is_in_the_tree(path):
    return path.exists() and path.resolve().is_relative_to(ROOT)
