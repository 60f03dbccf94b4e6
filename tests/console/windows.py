"""Windows of a real browser: what they load, what they say wrong, and whether everybody can use what they show."""

import os
import re
from pathlib import Path
from typing import Any

AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text()
SHOTS = Path(__file__).parents[2] / "docs" / "console"
SERIOUS = ("serious", "critical")
PATIENCE = 45_000
"""Milliseconds until something that is waited for is missed."""


HARMLESS = (
    "Applying inline style",  # the tool itself styles the page for a screenshot, which the page's policy refuses
    "status of",  # answers are judged by themselves
    "htmx:sendAbort",  # a later choice takes the place of one whose answer is not there yet
    "htmx:afterRequest",  # told beside each abort and each error; errors have a message of their own
)


def shown_in_docs() -> set[str]:
    """Return the names of the pictures that pages of the documentation show."""
    pages = "".join(path.read_text() for path in SHOTS.parent.glob("*.md"))
    return set(re.findall(r"\(console/([\w-]+)\.png\)", pages))


class Window:
    """A page of the browser that notes what goes wrong in it.

    Attributes:
        faults: Messages of the page's console and script errors, and answers of 5xx.
        foreign: Requests to anybody but the gateway and the sandbox.
        weights: Bytes over the wire of each page's first load, by path.
        times: Milliseconds from request to first byte of each page, by path.
    """

    def __init__(self, page: Any, own: tuple[str, ...]) -> None:
        self.page = page
        self.faults: list[str] = []
        self.foreign: list[str] = []
        self.weights: dict[str, int] = {}
        self.times: dict[str, list[float]] = {}
        self._own = own
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("response", self._response)
        page.on("request", self._request)

    def _console(self, message: Any) -> None:
        if message.type == "error" and not any(harmless in message.text for harmless in HARMLESS):
            self.faults.append(message.text)

    def _response(self, response: Any) -> None:
        if response.status >= 500:
            self.faults.append(f"{response.status} {response.url}")

    def _request(self, request: Any) -> None:
        if not request.url.startswith((*self._own, "data:", "blob:", "about:")):
            self.foreign.append(request.url)

    def check(self) -> None:
        """Nothing went wrong, and nobody else was asked."""
        assert not self.faults, self.faults
        assert not self.foreign, self.foreign

    async def fits_everybody(self) -> None:
        """axe-core finds no serious fault on the page that is shown."""
        await self.page.evaluate(AXE)
        options = (
            "{resultTypes: ['violations'], runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']}"
        )
        found = await self.page.evaluate(f"axe.run(document, {options})")
        serious = [
            f"{one['id']}: {[(node['html'][:160], node['failureSummary']) for node in one['nodes'][:3]]}"
            for one in found["violations"]
            if one["impact"] in SERIOUS
        ]
        assert serious == [], f"{self.page.url}: {serious}"

    async def shot(self, name: str) -> None:
        """Keep a picture in the folder that ``GATEWAY_SCREENSHOTS`` names; with 1, if a page of docs shows it."""
        wanted = os.environ.get("GATEWAY_SCREENSHOTS", "")
        if not wanted or (wanted == "1" and name not in shown_in_docs()):
            return
        folder = SHOTS if wanted == "1" else Path(wanted)
        folder.mkdir(parents=True, exist_ok=True)
        await self.page.screenshot(path=folder / f"{name}.png", animations="disabled")

    async def time_of_page(self) -> float:
        """Milliseconds between the request of the page that is shown and its first byte."""
        entry = "performance.getEntriesByType('navigation')[0]"
        return float(await self.page.evaluate(f"{entry}.responseStart - {entry}.requestStart"))

    async def weight_of_page(self) -> int:
        """Bytes that the page that is shown took over the wire, with all that it loads."""
        entries = "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
        return int(await self.page.evaluate(f"{entries}.reduce((sum, one) => sum + one.encodedBodySize + 300, 0)"))
