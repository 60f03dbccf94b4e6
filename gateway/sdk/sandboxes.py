"""What the sandboxes of vendors share beside ``faults``: a page to look at, and controls over HTTP.

No web framework is needed: a sandbox's own routes hand over what they got, and answer with what they are given.
"""

import inspect
from collections.abc import Collection, Sequence
from html import escape
from typing import Any

import httpx
import msgspec

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #ddd}"
    "form{display:inline}code{font-size:13px}"
)


def page(title: str, inner: str) -> str:
    """Return a page that stands for the vendor's screens; ``inner`` is HTML, escaped already."""
    title = escape(title)
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>{inner}</body></html>"
    )


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of cells that are HTML, escaped already."""
    if not rows:
        return "<p>None.</p>"
    head = "".join(f"<th>{title}</th>" for title in titles)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


async def control(
    sandbox: object, commands: Collection[str], command: str, raw: bytes, refused: type[Exception]
) -> tuple[dict[str, Any], int]:
    """Run a method of a sandbox for a caller over HTTP; returns the body and the status of the answer.

    Args:
        sandbox: Has the methods; they may be async.
        commands: Which of them may be called.
        command: Which one is.
        raw: Its arguments, a JSON object; none if empty.
        refused: What the sandbox raises when the vendor would refuse; its ``body`` is shown if it has one.
    """
    if command not in commands:
        return {"error": f"No control {command}", "controls": sorted(commands)}, 404
    try:
        result = getattr(sandbox, command)(**(msgspec.json.decode(raw) if raw else {}))
        if inspect.isawaitable(result):
            result = await result
    except refused as error:
        return {"error": getattr(error, "body", str(error))}, 400
    except (TypeError, KeyError, ValueError) as error:
        return {"error": f"{command}: {error!r}"}, 400
    return {"result": msgspec.to_builtins(result, enc_hook=_plain)}, 200


class Sender:
    """The client that a sandbox sends webhooks with: a given one, or one of its own that is closed with it."""

    def __init__(self, given: httpx.AsyncClient | None) -> None:
        self._given = given
        self._own: httpx.AsyncClient | None = None

    def __call__(self) -> httpx.AsyncClient:
        """Return the client."""
        if self._given is not None:
            return self._given
        self._own = self._own or httpx.AsyncClient()
        return self._own

    async def aclose(self) -> None:
        """Close the client, unless it was given."""
        if self._own is not None:
            await self._own.aclose()
            self._own = None


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, set | frozenset) else str(value)
