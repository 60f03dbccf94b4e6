"""What a log of calls may show: no secrets, no e-mail addresses, not too much."""

import re
from collections.abc import Iterable
from urllib.parse import unquote

import httpx

BODY_CHARACTERS = 2_000

_EMAIL = re.compile(r"([A-Za-z0-9_+%'-])[A-Za-z0-9._+%'-]*@(?=[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)")
_SENSITIVE = r"[a-z0-9_-]*(?:token|secret|password|passwd|authorization|api_?key|app_?key|credential)[a-z0-9_-]*"
_SECRET_JSON = re.compile(rf'("{_SENSITIVE}"\s*:\s*)("(?:[^"\\]|\\.)*"|[^,}}\]\s]+)', re.IGNORECASE)
_SECRET_FORM = re.compile(rf"((?:^|[?&\s]){_SENSITIVE}=)[^&\s]+", re.IGNORECASE)


class Redactor:
    """Takes secrets and addresses out of texts.

    Args:
        secrets: Values that must never appear, whatever they are called.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = sorted({secret for secret in secrets if len(secret) >= 6}, key=len, reverse=True)

    def text(self, text: str) -> str:
        """Return ``text`` without secrets and with e-mail addresses masked to their first letter and domain."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        text = _SECRET_JSON.sub(r'\1"***"', text)
        text = _SECRET_FORM.sub(r"\1***", text)
        return _EMAIL.sub(r"\1***@", text)

    def body(self, content: bytes) -> str:
        """Return a body as a cut, redacted text.

        Redacted before it is cut: half an address, or half a token, would no longer be recognised.
        """
        try:
            text = content.decode()
        except UnicodeDecodeError:
            return f"<{len(content)} bytes>"
        text = self.text(text)
        return text if len(text) <= BODY_CHARACTERS else f"{text[:BODY_CHARACTERS]}… ({len(content)} bytes)"

    def exchange(self, request: httpx.Request, response: httpx.Response | None, error: str | None) -> str:
        """Return what was sent and answered, headers left out: they carry the credentials."""
        query = unquote(request.url.query.decode())
        lines = [f"{request.method} {request.url.host}{request.url.path}{'?' + self.text(query) if query else ''}"]
        if request.content:
            lines.append(f"> {self.body(request.content)}")
        if response is not None:
            lines.append(f"< {response.status_code} {self.body(response.content)}".rstrip())
        if error is not None:
            lines.append(f"! {self.text(error)}")
        return "\n".join(lines)
