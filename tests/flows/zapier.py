"""What Zapier does to a gateway: its app calls with the account's key, and its hook URLs take events."""

import json
from typing import Any

import httpx

from .conftest import GATEWAY, World

APP = "/v1/apps/zapier"


class Hooks:
    """Zapier's hook URLs: notes what comes, and answers as told."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.answers: list[int] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(self.answers.pop(0) if self.answers else 200, json={"status": "success"})

    def bodies(self, url: str | None = None) -> list[dict[str, Any]]:
        return [json.loads(one.content) for one in self.requests if url in (None, str(one.url))]


class Zapier:
    """The app with one account's key."""

    def __init__(self, world: World, account: str, connection: dict[str, Any], hooks: Hooks) -> None:
        self.world, self.account, self.connection, self.hooks = world, account, connection, hooks
        self.key = connection["key"]["key"]
        self.zaps = 0

    @classmethod
    async def connect(cls, world: World, account: str = "acme", hooks: Hooks | None = None) -> "Zapier":
        path = f"/v1/accounts/{account}/connections"
        made = await world.call("POST", path, {"integration": "zapier"}, expect=201)
        hooks = hooks or Hooks()
        world.network.routes["hooks.zapier.com"] = httpx.MockTransport(hooks)
        return cls(world, account, made, hooks)

    async def call(self, method: str, path: str, body: Any = None, expect: int | None = None, **query: str) -> Any:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(self.world.app), base_url=GATEWAY,
            headers={"authorization": f"Bearer {self.key}", "user-agent": "Zapier"},
        ) as client:  # fmt: skip
            answer = await client.request(method, f"{APP}{path}", json=body, params=query)
        met = answer.is_success if expect is None else answer.status_code == expect
        assert met, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    async def turn_on(self, event: str, expect: int = 201, url: str | None = None, **narrowed: Any) -> str:
        """Turn a Zap on; return its hook URL."""
        if url is None:
            self.zaps += 1
            url = f"https://hooks.zapier.com/hooks/standard/{self.zaps}/abc/"
        body = {"event": event, "target_url": url, "filter": narrowed}
        self.subscribed = await self.call("POST", "/hooks", body, expect=expect)
        return url

    async def act(self, key: str, expect: int | None = None, **given: Any) -> Any:
        return await self.call("POST", f"/actions/{key}", given, expect=expect)

    async def refused(self, key: str, **given: Any) -> tuple[str, str]:
        """Return field and message of an action that is refused."""
        problem = await self.act(key, expect=422, **given)
        assert len(problem["problems"]) == 1, problem
        one = problem["problems"][0]
        assert len(one["message"]) <= 250
        return one["field"], one["message"]


def keys_of(value: Any) -> Any:
    """The keys of a body, nested; a list counts by its first entry."""
    if isinstance(value, dict):
        return {key: keys_of(each) for key, each in value.items()}
    if isinstance(value, list):
        return [keys_of(value[0])] if value else []
    return None
