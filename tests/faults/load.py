"""Clients of a run: they send signups, send them again under the same key until an answer came, and note all of it."""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import msgspec

from .history import Call

CAMPAIGNS = ("spring", "autumn")


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """One request: a signup, or a few at once, to one campaign."""

    key: str
    account: str
    campaign: str
    signups: list[dict[str, Any]]
    again: bool = False  # send it once more after its answer


def plan(number: int, accounts: Sequence[str], codes: dict[tuple[str, str], str], dice: random.Random) -> list[Planned]:
    """Return requests that hold ``number`` signups.

    Among ten are one batch of up to five, one whose e-mail is in the other campaign too (at about the same time), and
    one in thirty whose person signs up twice with another key.
    """
    requests: list[Planned] = []
    made, made_emails = 0, 0
    while made < number:
        account, campaign = dice.choice(accounts), dice.choice(CAMPAIGNS)
        size = dice.randint(2, 5) if dice.random() < 0.1 else 1
        size = min(size, number - made)
        signups = []
        for _ in range(size):
            made_emails += 1
            signups.append(_signup(f"p{made_emails}@{account}.example", codes.get((account, campaign)), dice))
        request = Planned(
            key=f"k{len(requests)}", account=account, campaign=campaign, signups=signups, again=dice.random() < 0.05
        )
        requests.append(request)
        made += size
        if size == 1 and made < number and dice.random() < 0.1:
            other = next(one for one in CAMPAIGNS if one != campaign)
            twin = [{**signups[0], "referrer": None}]
            requests.append(Planned(key=f"k{len(requests)}", account=account, campaign=other, signups=twin))
            made += 1
        if size == 1 and dice.random() < 0.03:  # the same person again: no signup of its own
            requests.append(msgspec.structs.replace(request, key=f"k{len(requests)}"))
    return requests


def _signup(email: str, code: str | None, dice: random.Random) -> dict[str, Any]:
    person = {"email": email, "first_name": "Pat", "last_name": f"Number {dice.randrange(1000)}"}
    referrer = {"code": code} if code is not None and dice.random() < 0.1 else None
    return {"role": "referred", "person": person, "referrer": referrer}


class Clients:
    """Some callers that share a list of requests.

    Args:
        requests: What to send, in this order.
        urls: Returns where processes answer now.
        key: The host key.
        allowed: Returns how many requests may have been begun by now, so that the load lasts as long as the kills do.
    """

    def __init__(
        self, requests: Sequence[Planned], urls: Callable[[], list[str]], key: str, allowed: Callable[[], int]
    ) -> None:
        self.calls: list[Call] = []
        self.answered = 0
        self.campaigns: dict[str, str] = {}
        self.sent = 0
        self.begun = 0
        self._requests = requests
        self._urls = urls
        self._key = key
        self._allowed = allowed
        self._dice = random.Random(1)

    async def run(self, callers: int) -> None:
        """Send everything and return when each request was answered 202."""
        async with httpx.AsyncClient(
            headers={"authorization": f"Bearer {self._key}"}, timeout=30, trust_env=False
        ) as client:
            await asyncio.gather(*(self._caller(client) for _ in range(callers)))

    async def _caller(self, client: httpx.AsyncClient) -> None:
        while self.begun < len(self._requests):
            if self.begun >= self._allowed():
                await asyncio.sleep(0.05)
                continue
            request = self._requests[self.begun]
            self.begun += 1
            await self._until_answered(client, request)
            self.answered += len(request.signups)
            if request.again:
                await self._until_answered(client, request)

    async def _until_answered(self, client: httpx.AsyncClient, request: Planned) -> None:
        while not await self._send(client, request):
            await asyncio.sleep(0.05 + 0.2 * self._dice.random())

    async def _send(self, client: httpx.AsyncClient, request: Planned) -> bool:
        urls = self._urls()
        if not urls:
            return False
        self.sent += 1
        url = f"{self._dice.choice(urls)}/v1/accounts/{request.account}/campaigns/{request.campaign}/signups"
        body = request.signups[0] if len(request.signups) == 1 else {"signups": request.signups}
        try:
            answer = await client.post(url, json=body, headers={"idempotency-key": request.key})
        except httpx.TransportError:
            self._note(request, None, [])
            return False
        results = answer.json()["results"] if answer.status_code == 202 else []
        self._note(request, answer.status_code, results)
        if answer.status_code not in {202, 503}:
            raise RuntimeError(f"{request.key} was answered {answer.status_code}: {answer.text}")
        return answer.status_code == 202

    def _note(self, request: Planned, status: int | None, results: list[dict[str, Any]]) -> None:
        for index, signup in enumerate(request.signups):
            result = results[index] if results else {}
            if result.get("person"):
                self.campaigns[result["person"]] = request.campaign
            self.calls.append(
                Call(
                    key=f"{request.key}/{index}",
                    account=request.account,
                    campaign=request.campaign,
                    role=signup["role"],
                    email=signup["person"]["email"],
                    status=status,
                    person=result.get("person"),
                    outcome=result.get("outcome"),
                )
            )
