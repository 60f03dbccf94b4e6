"""What a browser sends with a form, as text."""

from collections.abc import Iterator, Sequence
from typing import Any

from litestar import Request

from gateway.errors import invalid
from gateway_schemas.problem import FieldProblem


class Form:
    """The fields of a form, in the order of the page.

    Args:
        pairs: Names and values; a name may come several times.
    """

    def __init__(self, pairs: Sequence[tuple[str, str]] = ()) -> None:
        self.pairs = list(pairs)
        self._first: dict[str, str] = {}
        for name, value in self.pairs:
            self._first.setdefault(name, value)

    def __contains__(self, name: object) -> bool:
        return name in self._first

    def get(self, name: str, default: str = "") -> str:
        """Return the first value of a field, without spaces around it."""
        return self._first.get(name, default).strip()

    def all(self, name: str) -> list[str]:
        """Return every value of a field."""
        return [value for key, value in self.pairs if key == name]

    def starting(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Return the fields whose names begin with ``prefix``, without it; the first of each."""
        for name, value in self._first.items():
            if name.startswith(prefix):
                yield name.removeprefix(prefix), value.strip()


async def read(request: Request[Any, Any, Any]) -> Form:
    """Return the form of a request.

    Raises:
        Refused: A value holds U+0000, which no database takes.
    """
    sent = await request.form()
    pairs = [(name, value) for name, value in sent.multi_items() if isinstance(value, str)]
    for name, value in pairs:
        if "\0" in name or "\0" in value:
            raise invalid(FieldProblem(field=name.replace("\0", "?"), message="Leave out the character U+0000."))
    return Form(pairs)
