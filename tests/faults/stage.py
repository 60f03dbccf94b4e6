"""Where processes die one at a time: a vendor and a receiver that survive, and a gateway that takes over.

The survivor lives in the test's own process, on the same database: another process as far as the dying one can tell. It
moves its clock instead of waiting.
"""

import base64
import itertools
import json
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec

from gateway.app import create_app, create_worker, open_services
from gateway.sdk.clock import Clock
from gateway.settings import Settings, load
from gateway.testing.serving import free_ports, serving

from .chaos import Chaos
from .checker import Verdict, check
from .crms import CRMS, Crm
from .dying import Asked
from .forks import Forks, fork_server
from .history import Call, Event, History, Standing
from .looking import Looking
from .servers import QUIET, Receiver
from .setting_up import set_up_account

HOST_KEY = "host-key-of-the-stage-of-faults-01234567"
ACCOUNT = "acme-0"
PATIENCE = (0, 11, 31, 45, 120, 400, 1_300, 4_000)
"""Seconds between two drains: the lease lapses, what was done settles, back-offs end."""


class Stage:
    """A gateway, its surroundings, and children that may die."""

    def __init__(self, services: Any, api: httpx.AsyncClient, crm: Crm, receiver: Receiver, forks: Forks) -> None:
        self.services, self.api, self.crm, self.receiver, self.forks = services, api, crm, receiver, forks
        self.worker = create_worker(services)
        self.calls: list[Call] = []
        self.environ: dict[str, str] = {}
        self.folder = Path()
        self._names = itertools.count(1)
        self._noted: dict[Path, int] = {}
        self._looking = Looking(services.settings.database_url)

    def signup(self, campaign: str = "spring", email: str | None = None, **person: Any) -> dict[str, Any]:
        """Return a signup of somebody new, with a key of its own."""
        number = next(self._names)
        email = email or f"p{number}@{ACCOUNT}.example"
        body = {"role": "referred", "person": {"email": email, "first_name": "Pat", **person}}
        return {"account": ACCOUNT, "campaign": campaign, "key": f"k{number}", "body": body}

    async def fork(self, signups: Sequence[dict[str, Any]], **asked: Any) -> tuple[int, Path]:
        """Start a process that takes these signups; return its id, and the file of its answers."""
        answers = self.folder / f"answers{next(self._names)}"
        given = Asked(
            signups=list(signups), offset=self.services.clock.offset.total_seconds(), answers=str(answers),
            host_key=HOST_KEY, **asked,
        )  # fmt: skip
        arguments = [msgspec.json.encode(given).decode()]
        return await self.forks.fork(
            "tests.faults.dying:main", arguments, self.environ, self.folder / "dying.log"
        ), answers

    async def die(self, signups: Sequence[dict[str, Any]], **asked: Any) -> bool:
        """Let a process take signups and die at its point; note what it answered. False: it got to its end."""
        pid, answers = await self.fork(signups, **asked)
        ended = await self.forks.wait(pid)
        self._note(signups, answers)
        if ended not in ({"ended": 0}, {"ended": -signal.SIGKILL}):
            raise RuntimeError(f"{ended}: {(self.folder / 'dying.log').read_text()[-3000:]}")
        return ended != {"ended": 0}

    async def passed(self, signups: Sequence[dict[str, Any]], **asked: Any) -> list[str]:
        """Let a process live to its end; return the points that it passed."""
        file = self.folder / "passed.json"
        assert not await self.die(signups, passed=str(file), **asked)
        found: list[str] = json.loads(file.read_text())
        return found

    async def freeze(self, signups: Sequence[dict[str, Any]], **asked: Any) -> bool:
        """Freeze a process at its point, let another one do all of its work, and let it go on. False: no such point."""
        pid, answers = await self.fork(signups, stop=True, **asked)
        standing = await self.forks.wait(pid)
        if "stopped" not in standing:
            self._note(signups, answers)
            return False
        await self.make_good(signups, answers)
        os.kill(pid, signal.SIGCONT)
        ended = await self.forks.wait(pid)
        self._note(signups, answers)
        if ended not in ({"ended": 0}, {"ended": 1}):  # 1: it found out that its lane is another one's
            raise RuntimeError(f"{ended}: {(self.folder / 'dying.log').read_text()[-3000:]}")
        await self.settle()
        return True

    async def make_good(self, signups: Sequence[dict[str, Any]], answers: Path | None = None) -> None:
        """Send what was not answered again, as a client does, and let the survivor work until nothing is left."""
        answered = {call.key.rpartition("/")[0] for call in self.calls if call.status == 202}
        if answers is not None and answers.exists():
            answered |= {json.loads(line)["key"] for line in answers.read_text().splitlines()}
        for one in signups:
            path = f"/v1/accounts/{one['account']}/campaigns/{one['campaign']}/signups"
            if one["key"] not in answered:
                answer = await self.api.post(path, json=one["body"], headers={"idempotency-key": one["key"]})
                self._call(one, answer.status_code, answer.json())
        await self.settle()

    async def later(self, seconds: float) -> None:
        """Let time pass; nobody works."""
        self.services.clock.advance(timedelta(seconds=seconds))
        self.crm.advance(seconds)

    async def settle(self) -> None:
        """Let the survivor work and time pass, until nothing is left."""
        for seconds in PATIENCE:
            self.services.clock.advance(timedelta(seconds=seconds))
            self.crm.advance(seconds)
            await self.worker.drain()
            if not await self._looking.left():
                return

    def _note(self, signups: Sequence[dict[str, Any]], answers: Path) -> None:
        by_key = {one["key"]: one for one in signups}
        lines = self._noted.setdefault(answers, 0)
        said = [json.loads(line) for line in answers.read_text().splitlines()] if answers.exists() else []
        for one in said[lines:]:  # the answers of a frozen process are read twice
            self._call(by_key[one["key"]], one["status"], one["body"])
        self._noted[answers] = len(said)
        for key in by_key.keys() - {one["key"] for one in said}:
            self._call(by_key[key], None, {})

    def _call(self, one: dict[str, Any], status: int | None, body: dict[str, Any]) -> None:
        result = body["results"][0] if status == 202 else {}
        call = Call(
            key=f"{one['key']}/0", account=one["account"], campaign=one["campaign"], role="referred",
            email=one["body"]["person"]["email"], status=status, person=result.get("person"),
            outcome=result.get("outcome"),
        )  # fmt: skip
        self.calls.append(call)

    async def verdict(self) -> Verdict:
        """Check everything that happened here."""
        people = await self._get(f"/v1/accounts/{ACCOUNT}/people?limit=200", "data")
        feed = await self._get("/v1/events?after=0&limit=200", "data")
        rita = f"rita@{ACCOUNT}.example"
        history = History(
            calls=self.calls,
            people=[
                Standing(
                    person=one["id"], account=ACCOUNT, campaign=one["campaign"], role=one["role"], email=one["email"],
                    crm=one["crm"], cause=one["crm_cause"], state=one["state"],
                )
                for one in people
            ],
            records=[one for one in self.crm.records() if one.belongs != rita],
            expected=self.crm.expected,
            feed=[
                Event(id=one["id"], type=one["type"], person=one["data"].get("person"), sequence=one["sequence"])
                for one in feed
            ],
            received=dict(self.receiver.received),
            unbalanced=await self._ledger(),
        )  # fmt: skip
        return check(history)

    async def _get(self, path: str, _field: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        more, after = "", path
        while True:
            page = (await self.api.get(after + more)).raise_for_status().json()
            found += page["data"]
            if not page["data"] or not page["next"]:
                return found
            if "after=" in path:
                after = path.replace("after=0", f"after={page['next']}")
            else:
                more = f"&cursor={page['next']}"

    async def _ledger(self) -> str:
        day = self.services.clock.now().date()
        for back in range(4):
            asked = (day - timedelta(days=back)).isoformat()
            ledger = (await self.api.get(f"/v1/ledger?day={asked}")).raise_for_status().json()
            if not ledger["balanced"]:
                return json.dumps(ledger)
        return ""


@asynccontextmanager
async def open_stage(
    database_url: str, folder: Path, *, forks: Forks, crm: str = "pipedrive", **sandbox: Any
) -> AsyncIterator[Stage]:
    """Open a stage over a database that has the schema, with one account that is connected and set up."""
    async with AsyncExitStack() as stack:
        vendor_port, receiver_port = free_ports(2)
        public = "http://127.0.0.1:1"
        made: Any = CRMS[crm]
        vendor: Crm = made(f"http://127.0.0.1:{vendor_port}", f"{public}/v1/oauth/{crm}/callback", **sandbox)
        stack.push_async_callback(vendor.aclose)
        receiver = Receiver(seed=0, failed=0, lost=0)
        await stack.enter_async_context(serving(Chaos(vendor.app), vendor_port, **QUIET))
        await stack.enter_async_context(serving(receiver.app, receiver_port, **QUIET))
        environ = {
            "GATEWAY_DATABASE_URL": database_url,
            "GATEWAY_PUBLIC_URL": public,
            "GATEWAY_HOST_KEYS": HOST_KEY,
            "GATEWAY_SECRET_KEYS": f"k1:{base64.urlsafe_b64encode(b'1' * 32).decode()}",
            "GATEWAY_SUPPORT_CONTACT": "support@referrals.example",
            "GATEWAY_ALLOW_LOCAL_TARGETS": "true",
            "GATEWAY_LOG_LEVEL": "critical",
            **vendor.environ(),
        }
        services = await stack.enter_async_context(
            open_services(load(Settings, environ=environ), environ=environ, clock=Clock())
        )
        transport = httpx.ASGITransport(create_app(services))
        headers = {"authorization": f"Bearer {HOST_KEY}"}
        api = await stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url=public, headers=headers, timeout=60)
        )
        staged = Stage(services, api, vendor, receiver, forks)
        staged.environ, staged.folder = environ, folder

        async def call(method: str, path: str, body: Any = None) -> Any:
            answer = await api.request(method, path, json=body)
            assert not answer.is_error, answer.text
            return answer.json()

        told = await call("POST", "/v1/endpoints", {"url": f"http://127.0.0.1:{receiver_port}/webhooks"})
        receiver.host.secrets.append(told["secret"])
        network = httpx.AsyncHTTPTransport()
        mounts = {public: transport, "all://": network}
        async with httpx.AsyncClient(mounts=mounts, trust_env=False, timeout=60) as browser:
            await set_up_account(call, vendor, crm, ACCOUNT, browser, watched=lambda campaign: False)
        await staged.settle()
        yield staged


__all__ = ["Stage", "fork_server", "open_stage"]
