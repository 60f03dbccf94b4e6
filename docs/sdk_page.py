"""Writes ``docs/sdk.md`` from the docstrings of what a plugin author builds with: ``uv run python docs/sdk_page.py``.

With ``--check`` it writes nothing and exits with 1 when the page is out of date. Docstrings are read by griffe, types
and defaults as they stand in the source: nothing is imported, and nothing is said twice.
"""

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias, TypeGuard

import griffe
from griffe import Attribute, Class, Docstring, DocstringSectionKind, Function, Module

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/sdk.md"
HEAD = """\
# What a plugin is given, and what it makes

<!-- written by `uv run python docs/sdk_page.py` from the docstrings; do not edit -->

Every type that [hooks](hooks.md) name, field by field, and what the conformance suite asks of a sandbox. Types and
defaults are those of the code; a field without a default must be given. [Ship a plugin](plugins.md#your-crm-does-this)
says which of them you need for what your CRM does.

Structs of `gateway_schemas` and `gateway.sdk` are frozen and take keywords alone. Times are aware and in UTC; ids are
strings. What [`Host`](#host) takes and returns beside (`Person`, `Campaign`, `Event`, …) is that of the [API](api.md).

"""

PARTS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("gateway_schemas.manifest", "Manifest", ("CatalogueEntry",)),
    ("gateway_schemas.connection", "VendorAccount", ("*", "Limitation", "Category")),
    ("gateway_schemas.records", "Record", ("FieldInput", "FieldList", "OptionList")),
    ("gateway_schemas.base", "Money", ("*", "FieldValue")),
    ("gateway_schemas.sync", "ContactPage", ("*", "ContactSelection")),
    ("gateway.sdk.connection", "Connection", ()),
    ("gateway.sdk.http", "VendorHttp", ("Meter", "Recorder")),
    ("gateway.sdk.errors", "Problem", ()),
    ("gateway.sdk.inbound", "InboundRequest", ()),
    ("gateway.sdk.polling", "ChangePage", ()),
    ("gateway.sdk.values", "text_of", ("MOST_ADDRESS",)),
    ("gateway.sdk.money", "from_minor", ()),
    ("gateway.sdk.host", "Host", ()),
    ("gateway.sdk.routes", "Route", ()),
    ("gateway.sdk.subjects", "EventSubjects", ()),
    ("gateway.sdk.faults", "FaultControls", ("*", "Front", "Fault", "RequestEntry", "SandboxTransport", "Failure")),
    ("gateway.sdk.sandboxes", "control", ()),
    ("gateway.testing.driver", "Driver", ("NoVendor",)),
    ("gateway.testing.world", "World", ("*",)),
    ("gateway.testing.once", "Once", ()),
)
"""Module, the name that comes first, and the names that are left out; after ``*`` the only ones that are not."""

Part: TypeAlias = Class | Function | Attribute


def page() -> str:
    """Return the whole page; a name that two modules have is written out in the second one."""
    loader = griffe.GriffeLoader(search_paths=[ROOT, ROOT / "schemas"], allow_inspection=False)
    chosen = [(module, list(_chosen(module, first, rule))) for module, first, rule in _modules(loader)]
    taken: set[str] = set()
    titled: list[tuple[Module, list[tuple[str, Part]]]] = []
    for module, parts in chosen:
        titled.append((module, [(part.path if part.name in taken else part.name, part) for part in parts]))
        taken.update(part.name for part in parts)
    links = {one.path: _anchor(title) for _, found in titled for title, one in found}
    contents = [f"- [`{module.path}`](#{_anchor(module.path)}): {_first(module)}" for module, _ in titled]
    blocks = [HEAD + "\n".join(contents)]
    for module, found in titled:
        blocks += [f"## `{module.path}`", *_prose(module.docstring.value if module.docstring else "")]
        for title, one in found:
            blocks += [f"### `{title}`", *_entry(one, links)]
    return "\n\n".join(blocks) + "\n"


def _modules(loader: griffe.GriffeLoader) -> Iterator[tuple[Module, str, tuple[str, ...]]]:
    for name, first, rule in PARTS:
        module = loader.load(name)
        assert isinstance(module, Module)
        yield module, first, rule


def _chosen(module: Module, first: str, rule: tuple[str, ...]) -> Iterator[Part]:
    only = {first, *rule[1:]} if rule[:1] == ("*",) else None
    members = {name: one for name, one in module.members.items() if not name.startswith("_") and not one.is_alias}
    unknown = {name for name in (first, *rule) if name != "*"} - members.keys()
    assert not unknown, f"{module.path} has no {unknown}"
    for name in dict.fromkeys([first, *members]):
        one = members[name]
        if (name not in rule) if only is None else (name in only):
            if isinstance(one, Attribute) and one.docstring is None and "Literal" not in str(one.value):
                continue  # a name for a type that says all by itself
            assert isinstance(one, Class | Function | Attribute), one
            yield one


# --- one entry -----------------------------------------------------------------------------------------


def _entry(one: Part, links: dict[str, str]) -> list[str]:
    if isinstance(one, Attribute):
        return [f"```python\n{one.name} = {one.value}\n```", *_prose(one.docstring.value if one.docstring else "")]
    if isinstance(one, Function):
        return [f"```python\n{_signature(one)}\n```", *_described(one)]
    text, told = _sections(one.docstring)
    initial = one.members.get("__init__")
    blocks = _prose(text)
    made = isinstance(initial, Function) and "dataclass" not in one.labels
    if isinstance(initial, Function) and made:
        blocks.insert(0, f"```python\n{_signature(initial, one.name)}\n```")
        blocks += _told(told)
    for base in one.bases:
        if isinstance(base, griffe.Expr) and base.canonical_path in links:
            blocks.append(f"A kind of [`{base}`](#{links[base.canonical_path]}).")
    blocks += _fields(one, told.get("attributes", {}), links)
    methods = [_method(member) for member in one.members.values() if _is_method(member)]
    return [*blocks, *(["*Methods*"] if methods else []), *methods]


def _fields(one: Class, told: dict[str, str], links: dict[str, str]) -> list[str]:
    """Return the table of what is declared in a class's body, and of its properties."""
    rows = []
    for name, member in one.members.items():
        if (
            name.startswith("_")
            or not isinstance(member, Attribute)
            or not {"class-attribute", "property"} & member.labels
        ):
            continue
        told_there = member.docstring.value if member.docstring and "property" in member.labels else ""
        about = _line(told.get(name) or told_there)
        rows.append(f"| `{name}` | {_type(member.annotation, links)} | {_default(member.value)} | {about} |")
    if not rows:
        return []
    return ["\n".join(["| field | type | default | meaning |", "| --- | --- | --- | --- |", *rows])]


_EMPTY = {"dict": "{}", "list": "[]"}


def _default(value: object) -> str:
    """Return a default as code; of ``field(…)`` what its factory makes."""
    made = re.fullmatch(r"field\((?:.*default_factory=(\w+))?.*\)", text := str(value))
    if value is None or (made is not None and made[1] is None):
        return ""
    return _cell(text if made is None else _EMPTY.get(made[1], f"{made[1]}()"))


def _cell(code: str) -> str:
    return "`" + code.replace("|", "\\|") + "`"


def _type(annotation: object, links: dict[str, str]) -> str:
    """Return a type as code, each part that the page describes linked."""
    inner = annotation.iterate(flat=True) if isinstance(annotation, griffe.Expr) else ()
    known = {
        one.name: links[one.canonical_path]
        for one in inner
        if isinstance(one, griffe.ExprName) and one.canonical_path in links
    }
    parts = []
    for part in re.split(r" \| (?![^\[]*\])", str(annotation)):
        names = [name for name in re.findall(r"\w+", part) if name in known]
        parts.append(f"[{_cell(part)}](#{known[names[-1]]})" if names else _cell(part))
    return " \\| ".join(parts)


def _is_method(one: Any) -> TypeGuard[Function]:
    if not isinstance(one, Function) or "property" in one.labels:
        return False
    return not one.name.startswith("_") or one.name == "__call__"


def _method(one: Function) -> str:
    """Return a method as a point of a list, with what it takes and raises below it."""
    text, told = _sections(one.docstring)
    said = [line for block in _prose(text) for line in [*block.splitlines(), ""]][:-1]
    head = _signature(one, within=10_000).removeprefix("def ").replace("async def ", "async ")
    lines = [f"- `{head}`", "", *(f"  {line}".rstrip() for line in said), ""]
    for title, rows in told.items():
        before = {"takes": "", "raises": "raises "}.get(title, f"{title}: ")
        lines += [f"  - {before}{f'`{name}`: ' if name else ''}{_line(about)}" for name, about in rows.items()]
    return "\n".join(lines).rstrip()


def _described(one: Function) -> list[str]:
    text, told = _sections(one.docstring)
    return [*_prose(text), *_told(told)]


def _told(told: dict[str, dict[str, str]]) -> list[str]:
    """Return arguments, results and errors as lists."""
    blocks = []
    for title in ("takes", "returns", "raises"):
        if title in told:
            rows = [f"- `{name}`: {_line(text)}" if name else f"- {_line(text)}" for name, text in told[title].items()]
            blocks.append(f"*{title.capitalize()}*\n\n" + "\n".join(rows))
    return blocks


def _signature(one: Function, name: str = "", *, within: int = 110) -> str:
    """Return the call as it is written; with a name, that of a class."""
    parts: list[str] = []
    for parameter in one.parameters:
        if parameter.name == "self":
            continue
        if parameter.kind is griffe.ParameterKind.keyword_only and "*" not in parts:
            parts.append("*")
        star = {"variadic positional": "*", "variadic keyword": "**"}.get(
            parameter.kind.value if parameter.kind else "", ""
        )
        default = f" = {parameter.default}" if parameter.default is not None and not star else ""
        parts.append(f"{star}{parameter.name}: {parameter.annotation}{default}")
    colour = "async def " if "async" in one.labels else "def "
    head, result = (name, "") if name else (f"{colour}{one.name}", f" -> {one.returns}")
    short = f"{head}({', '.join(parts)}){result}"
    if len(short) <= within:
        return short
    return f"{head}(\n" + "".join(f"    {part},\n" for part in parts) + f"){result}"


# --- docstrings ----------------------------------------------------------------------------------------

_TITLES = {
    DocstringSectionKind.parameters: "takes",
    DocstringSectionKind.raises: "raises",
    DocstringSectionKind.returns: "returns",
    DocstringSectionKind.attributes: "attributes",
}


def _sections(docstring: Docstring | None) -> tuple[str, dict[str, dict[str, str]]]:
    """Return a docstring's text, and of each section what it says by name."""
    texts: list[str] = []
    told: dict[str, dict[str, str]] = {}
    parsed = [] if docstring is None else docstring.parse("google", warnings=False, returns_named_value=False)
    for section in parsed:
        if section.kind is DocstringSectionKind.text:
            texts.append(section.value)
        elif section.kind in _TITLES:
            told[_TITLES[section.kind]] = dict(_items(section))
    return "\n\n".join(texts), told


def _items(section: griffe.DocstringSection) -> Iterator[tuple[str, str]]:
    for item in section.value:
        name = getattr(item, "name", "") or ""
        if section.kind is DocstringSectionKind.raises:
            name = str(item.annotation)
        if section.kind is DocstringSectionKind.attributes and str(item.annotation or "").startswith("/"):
            # ``burst_calls / burst_seconds: …`` describes both
            for each in (name, *re.findall(r"\w+", str(item.annotation))):
                yield each, item.description
        else:
            yield name, item.description


def _first(module: Module) -> str:
    text = module.docstring.value if module.docstring else ""
    return _line(text.partition("\n\n")[0])


def _line(text: str) -> str:
    return _code(" ".join(text.split())).replace("|", "\\|")


def _code(text: str) -> str:
    return re.sub(r"``(.+?)``", r"`\1`", text, flags=re.DOTALL)


def _prose(text: str) -> list[str]:
    """Return Markdown of a docstring's paragraphs: literal blocks are fenced, tables of columns become tables."""
    blocks: list[str] = []
    literal = False
    for paragraph in re.split(r"\n\s*\n", text.strip("\n")) if text.strip() else []:
        if paragraph.strip() == "::":
            literal = True
        elif literal and paragraph.startswith("    "):
            blocks.append("```text\n" + "\n".join(line[4:] for line in paragraph.splitlines()) + "\n```")
        elif paragraph.startswith("===="):
            blocks.append(_table(paragraph.splitlines()))
        else:
            literal = False
            blocks.append(_code(paragraph))
    return blocks


def _table(lines: list[str]) -> str:
    """Return a table of columns, ruled by ``====``, as a table of Markdown."""
    width = lines[0].index(" ")
    cells = [(line[:width].strip(), _code(line[width:].strip())) for line in lines if not line.startswith("===")]
    rows = [f"| {left} | {right} |" for left, right in cells]
    return "\n".join([rows[0], "| --- | --- |", *rows[1:]])


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def main(arguments: Iterable[str]) -> int:
    """Write the page, or check it."""
    wanted = page()
    stale = not PAGE.exists() or PAGE.read_text() != wanted
    if "--check" in arguments:
        sys.stdout.write("out of date: docs/sdk.md\n" if stale else "docs/sdk.md is up to date\n")
        return int(stale)
    PAGE.write_text(wanted)
    sys.stdout.write("docs/sdk.md was written\n" if stale else "docs/sdk.md was up to date\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
