"""What a log of calls may show: no secrets, no e-mail addresses, not too much."""

import re
from codecs import getincrementaldecoder
from collections.abc import Iterable
from urllib.parse import unquote

import httpx

BODY_CHARACTERS = 2_000
LONGEST_ADDRESS = 400
WINDOW_BYTES = 8_000
"""Of a long body only so much is read: a page of contacts has hundreds of thousands, of which 2,000 are shown."""

_Decoder = getincrementaldecoder("utf-8")
_EMAIL = re.compile(r"([A-Za-z0-9_+%'-])[A-Za-z0-9._+%'-]*@(?=[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)")
_SENSITIVE = r"[a-z0-9_-]*(?:token|secret|password|passwd|authorization|api_?key|app_?key|credential)[a-z0-9_-]*"
_SECRET_JSON = re.compile(rf'("{_SENSITIVE}"\s*:\s*)("(?:[^"\\]|\\.)*(?:"|\\?\Z)|[^,}}\]\s]+)', re.IGNORECASE)
_SECRET_FORM = re.compile(rf"((?:^|[?&\s]){_SENSITIVE}=)[^&\s]+", re.IGNORECASE)


class Redactor:
    """Takes secrets and addresses out of texts.

    Args:
        secrets: Values that must never appear, whatever they are called.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = sorted({secret for secret in secrets if len(secret) >= 6}, key=len, reverse=True)
        self._longest = max([LONGEST_ADDRESS, *map(len, self._secrets)])

    def text(self, text: str) -> str:
        """Return ``text`` without secrets and with e-mail addresses masked to their first letter and domain."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        text = _SECRET_JSON.sub(r'\1"***"', text)
        text = _SECRET_FORM.sub(r"\1***", text)
        return _EMAIL.sub(r"\1***@", text)

    def body(self, content: bytes) -> str:
        """Return a body as a cut, redacted text.

        Redacted before it is cut: half an address, or half a token, would no longer be recognised. So of the part of a
        long body that is read, the end is never shown: not as much of it as the longest of them has.
        """
        whole = len(content) <= WINDOW_BYTES + self._longest
        try:
            text = _Decoder().decode(content if whole else content[: WINDOW_BYTES + self._longest], final=whole)
        except UnicodeDecodeError:
            return f"<{len(content)} bytes>"
        text = self.text(text)
        if not whole:
            text = text[: -self._longest]
        if whole and len(text) <= BODY_CHARACTERS:
            return text
        return f"{text[:BODY_CHARACTERS]}… ({len(content)} bytes)"

    def exchange(
        self, request: httpx.Request, response: httpx.Response | None, error: str | None, *, bodies: bool = True
    ) -> str:
        """Return what was sent and answered, headers left out: they carry the credentials.

        Without ``bodies`` neither they nor the query are shown, only how long an answer was: for calls that may tell
        of several people.
        """
        if not bodies:
            lines = [f"{request.method} {request.url.host}{request.url.path}"]
            if response is not None:
                lines.append(f"< {response.status_code} <{len(response.content)} bytes>")
            return "\n".join([*lines, *([f"! {self.text(error)}"] if error is not None else [])])
        query = unquote(request.url.query.decode())
        lines = [f"{request.method} {request.url.host}{request.url.path}{'?' + self.text(query) if query else ''}"]
        if request.content:
            lines.append(f"> {self.body(request.content)}")
        if response is not None:
            lines.append(f"< {response.status_code} {self.body(response.content)}".rstrip())
        if error is not None:
            lines.append(f"! {self.text(error)}")
        return "\n".join(lines)
