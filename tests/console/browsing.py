"""A browser without scripts: keeps cookies, says where a request comes from, reads forms and sends them."""

from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

import httpx

HOST_KEY = "host-key-for-tests-0123456789abcdef"
PUBLIC = "https://gateway.test"


class HtmlForm:
    """A form of a page: where it goes and what it would send as it stands."""

    def __init__(self, attrs: dict[str, str]) -> None:
        self.action = attrs.get("action", "")
        self.method = attrs.get("method", "get")
        self.target = attrs.get("target")
        self.fields: list[tuple[str, str]] = []
        self.buttons: list[tuple[str, str, str]] = []
        self.options: dict[str, list[str]] = {}

    def value(self, name: str) -> str | None:
        return next((value for key, value in self.fields if key == name), None)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[HtmlForm] = []
        self.text: list[str] = []
        self.links: list[tuple[str, str]] = []
        self._form: HtmlForm | None = None
        self._select: str | None = None
        self._chosen: str | None = None
        self._first: str | None = None
        self._button: tuple[str, str] | None = None
        self._button_text = ""
        self._area: str | None = None
        self._link: str | None = None
        self._link_text = ""

    def handle_starttag(self, tag: str, given: list[tuple[str, str | None]]) -> None:
        attrs = {key: value or "" for key, value in given}
        if tag == "form":
            self._form = HtmlForm(attrs)
            self.forms.append(self._form)
        elif tag == "a" and "href" in attrs:
            self._link, self._link_text = attrs["href"], ""
        if self._form is None:
            return
        if tag == "input":
            kind = attrs.get("type", "text")
            if "name" in attrs and (kind not in ("checkbox", "radio") or "checked" in attrs):
                self._form.fields.append((attrs["name"], attrs.get("value", "on" if kind == "checkbox" else "")))
        elif tag == "select":
            self._select, self._chosen, self._first = attrs["name"], None, None
            self._form.options[attrs["name"]] = []
        elif tag == "option" and self._select is not None:
            self._form.options[self._select].append(attrs["value"])
            self._first = attrs["value"] if self._first is None else self._first
            if "selected" in attrs:
                self._chosen = attrs["value"]
        elif tag == "textarea":
            self._area = attrs["name"]
            self._form.fields.append((attrs["name"], ""))
        elif tag == "button":
            self._button, self._button_text = (attrs.get("name", ""), attrs.get("value", "")), ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag == "a" and self._link is not None:
            self.links.append((" ".join(self._link_text.split()), self._link))
            self._link = None
        elif tag == "select" and self._select is not None and self._form is not None:
            chosen = self._chosen if self._chosen is not None else self._first
            self._form.fields.append((self._select, chosen or ""))
            self._select = None
        elif tag == "textarea":
            self._area = None
        elif tag == "button" and self._button is not None and self._form is not None:
            self._form.buttons.append((" ".join(self._button_text.split()), *self._button))
            self._button = None

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if self._button is not None:
            self._button_text += data
        if self._link is not None:
            self._link_text += data
        if self._area is not None and self._form is not None:
            self._form.fields[-1] = (self._area, self._form.fields[-1][1] + data)


class Page:
    """An answer as a person sees it."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self.status = answer.status_code
        self.path = urlsplit(str(answer.url)).path
        self.query = urlsplit(str(answer.url)).query
        reader = _Reader()
        if "html" in answer.headers.get("content-type", ""):
            reader.feed(answer.text)
        self.forms = reader.forms
        self.links = reader.links
        self.text = " ".join(" ".join(reader.text).split())

    def form(self, button: str) -> HtmlForm:
        """Return the form with this button."""
        for one in self.forms:
            if any(text == button for text, _, _ in one.buttons):
                return one
        raise AssertionError(f"no button {button!r} on {self.path}: {[one.buttons for one in self.forms]}\n{self.text}")

    def has_button(self, button: str) -> bool:
        return any(text == button for one in self.forms for text, _, _ in one.buttons)

    def link(self, text: str) -> str:
        found = [href for shown, href in self.links if shown == text]
        assert found, f"no link {text!r} on {self.path}: {self.links}\n{self.text}"
        return found[0]


class Browser:
    """One window of a browser without scripts."""

    def __init__(self, app: Any, *, dest: str = "document") -> None:
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=PUBLIC, follow_redirects=False)
        self.dest = dest
        self.page: Page

    async def close(self) -> None:
        await self.client.aclose()

    async def go(self, path: str, expect: int = 200, **headers: str) -> Page:
        return await self._send("GET", path, None, expect, {"sec-fetch-site": "none", **headers})

    async def press(self, button: str, expect: int = 200, **values: str) -> Page:
        """Fill in the form with this button and press it."""
        form = self.page.form(button)
        return await self.send(form, button, expect, **values)

    async def send(self, form: HtmlForm, button: str | None, expect: int = 200, **values: str) -> Page:
        given = {key.replace("__", "."): value for key, value in values.items()}
        pairs = [(key, given.pop(key, value)) for key, value in form.fields]
        pairs += list(given.items())
        pressed = next((one for one in form.buttons if one[0] == button), None)
        if pressed is not None and pressed[1]:
            pairs.append((pressed[1], pressed[2]))
        action = form.action or self.page.path
        headers = {"sec-fetch-site": "same-origin", "referer": f"{PUBLIC}{self.page.path}"}
        return await self._send(form.method.upper(), action, pairs, expect, headers)

    async def _send(
        self, method: str, path: str, pairs: list[tuple[str, str]] | None, expect: int, headers: dict[str, str]
    ) -> Page:
        said = {"sec-fetch-dest": self.dest, **headers}
        data: dict[str, list[str]] = {}
        for key, value in pairs or []:
            data.setdefault(key, []).append(value)
        if method == "GET" and pairs:
            answer = await self.client.request(method, path, params=data, headers=said)
        else:
            answer = await self.client.request(method, path, data=data if method != "GET" else None, headers=said)
        while answer.status_code == 303:
            location = answer.headers["location"]
            if not location.startswith("/") and not location.startswith(PUBLIC):
                break  # to a vendor
            answer = await self.client.get(location, headers={"sec-fetch-dest": self.dest})
        assert answer.status_code == expect, f"{method} {path}: {answer.status_code}\n{Page(answer).text[:3000]}"
        self.page = Page(answer)
        return self.page
