"""Sentences of the code for translators: those that flows and plugins say to people, with what they put into them.

A flow writes ``f"Map {row.label} of {kind}."``, where it is decided and as it is stored. The catalogue holds it as
``Map %(label)s of %(kind)s.``, and ``composed`` finds it again by its words when it is shown. So nobody who writes a
flow thinks of languages, and what was stored before a translation was made is translated too.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

_BEGINS = re.compile(r"[A-Z“]|%\(")
_GOES_ON = re.compile(r"[a-z’']+ ")
_WORDS = re.compile(r"[A-Za-z’'-]{2,}")


def in_folder(folder: Path, *, without: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Return each sentence of a folder's modules, and the file that says it.

    Args:
        folder: Of a package.
        without: Folders and files in it that speak to nobody, by name.
    """
    for path in sorted(folder.rglob("*.py")):
        inside = path.relative_to(folder)
        if not set(inside.parts) & set(without):
            for text in in_source(path.read_text(encoding="utf-8")):
                yield inside.as_posix(), text


def in_source(source: str) -> Iterator[str]:
    """Return the sentences of a module: texts and f-strings of several words that are no documentation. Pure."""
    tree = ast.parse(source)
    silent = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            silent |= {id(part) for part in node.values if isinstance(part, ast.Constant)}
            specs = [part.format_spec for part in node.values if isinstance(part, ast.FormattedValue)]
            silent |= {id(inner) for spec in specs if spec is not None for inner in ast.walk(spec)}
    for node in ast.walk(tree):
        if id(node) in silent:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and is_sentence(node.value, node.value):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            text, literal = _template(node)
            if is_sentence(text, literal):
                yield text


def is_sentence(text: str, literal: str) -> bool:
    """Say whether a text is one for people: it begins as a sentence and has two words, or is a part with three."""
    words = len(_WORDS.findall(literal))
    begins = (words > 1 and _BEGINS.match(text)) or (words > 2 and _GOES_ON.match(text))
    return bool(begins) and "://" not in text and "\n" not in text


def _template(node: ast.JoinedStr) -> tuple[str, str]:
    """Return an f-string with named placeholders, and its own words alone."""
    names: dict[str, str] = {}
    parts, literal = [], []
    for part in node.values:
        if isinstance(part, ast.Constant):
            parts.append(str(part.value).replace("%", "%%"))
            literal.append(str(part.value))
        elif isinstance(part, ast.FormattedValue):
            code = ast.unparse(part.value)
            if code not in names:
                wanted = _name_of(part.value)
                taken = set(names.values())
                numbers = (f"{wanted}{number}" for number in range(2, 99))
                names[code] = next(one for one in (wanted, *numbers) if one not in taken)
            parts.append(f"%({names[code]})s")
            literal.append(" ")
    return "".join(parts), "".join(literal)


def _name_of(node: ast.expr) -> str:
    """Return what to call a value: the last name in it that says what it is."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name.strip("_")
        case ast.Subscript(value=inner) | ast.Await(value=inner) | ast.BinOp(left=inner):
            return _name_of(inner)
        case ast.Call(func=ast.Attribute(attr="join"), args=[inner, *_]) | ast.Call(args=[inner, *_]):
            return _name_of(inner)
        case ast.Call(func=ast.Attribute(value=inner)):
            return _name_of(inner)
        case ast.IfExp(body=inner) | ast.BoolOp(values=[inner, *_]):
            return _name_of(inner)
        case _:
            return "value"
