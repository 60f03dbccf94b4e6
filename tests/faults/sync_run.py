"""A contact sync whose processes are killed: every contact becomes one referrer, and the CRM shows each link.

The same surroundings as the long run of signups (``run.py``). Kills strike while pages are read and while values are
written; afterwards some referrals come in, nobody is killed, and each change must be written exactly once.
``python -m tests.faults.sync_run --help`` tells its options.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from .checker import Verdict
from .load import CAMPAIGNS
from .process import Times
from .run import Options, Result, Run, postgresql, shown
from .sync_checker import Referrer, SyncHistory, check_sync

CAMPAIGN = CAMPAIGNS[1]
REFERRED = 3
"""Contacts who refer somebody once all is done."""


class SyncRun(Run):
    """One run; ``go`` does it. ``options.signups`` is how many contacts there are."""

    _crm: Any

    async def _load(self, codes: dict[tuple[str, str], str]) -> Any:
        del codes
        self._account = self._accounts[0]
        self._path = f"/v1/accounts/{self._account}/campaigns/{CAMPAIGN}"
        self._crm.add_contacts(self._account, self.options.signups)
        made = await self._call("POST", f"{self._path}/syncs/write-back-fields")
        self._fields = {one["source"]: one["field"] for one in made["write_back"]}
        self._before = self._crm.contacts(self._account)
        body = {"use_suggested": True, "write_back": made["write_back"], "ongoing": True}
        self._sync = await self._call("POST", f"{self._path}/syncs", body)
        self._background = [asyncio.create_task(self._send_webhooks())]
        await self._kill_at_random()
        return None

    async def _kill_at_random(self) -> None:
        """Spread the first half of the kills over the reading, and the others over the writing."""
        dice = random.Random(self.options.seed + 1)
        total, half = len(self._before), (self.options.kills + 1) // 2
        for number in range(self.options.kills):
            reads = number < half
            least = total * (number if reads else number - half) / half
            while await self._done("read" if reads else "written") < min(least, total - 1):
                await asyncio.sleep(0.01)
            await asyncio.sleep(dice.random() * self.options.every)
            process = dice.choice([one for one in self.processes if one.up])
            killed = await process.kill()
            self._kills.append(killed)
            self._recovering.append(asyncio.create_task(self._watch(killed)))
            await process.start()
            self.say(f"killed {process.name}: {await self._done('read')} read, {await self._done('written')} written")

    async def _done(self, column: str) -> int:
        ((number,),) = await self._looking.rows(f"SELECT {column} FROM syncs")
        return int(number)

    async def _settle(self) -> float:
        """Wait for the end; then let contacts refer somebody, and wait until the CRM shows that."""
        began = time.monotonic()
        await self._until(self._is_up_to_date)
        self._writes = self._crm.contact_writes(self._fields["person.referral_count"])
        people = await self._referrers()
        self._referring = sorted(one["email"] for one in people if one["email"].endswith("@many.example"))[:REFERRED]
        for number, one in enumerate(one for one in people if one["email"] in self._referring):
            friend = {"email": f"friend{number}@friends.example", "first_name": "Fiona"}
            body = {"role": "referred", "person": friend, "referrer": {"code": one["code"]}}
            await self._call("POST", f"{self._path}/signups", body)
        await self._until(self._shows_counts)
        await asyncio.sleep(3)  # webhooks of our own writes come back, and would be written again here
        await self._until(self._is_up_to_date)
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        return time.monotonic() - began

    async def _until(self, holds: Any) -> None:
        async with asyncio.timeout(self.options.patience):
            while not await holds():
                await asyncio.sleep(0.2)

    async def _is_up_to_date(self) -> bool:
        self._last = await self._call("GET", f"{self._path}/syncs/{self._sync['id']}")
        done = (self._last["state"], self._last["phase"], self._last["progress"]["to_write"]) == ("watching", "done", 0)
        return done and not await self._looking.left()

    async def _shows_counts(self) -> bool:
        now = self._crm.contacts(self._account).values()
        count = self._fields["person.referral_count"]
        return sum(one["email"] in self._referring and one.get(count) == 1 for one in now) == REFERRED

    async def _referrers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            path = f"/v1/accounts/{self._account}/people?role=referrer&campaign={CAMPAIGN}&limit=200{cursor}"
            page = await self._call("GET", path)
            found += page["data"]
            if page["next"] is None:
                return found
            cursor = f"&cursor={page['next']}"

    async def _judge(self, clients: Any, settled: float) -> Result:
        del clients
        count = self._fields["person.referral_count"]
        assert self.options.times.contacts is not None
        history = SyncHistory(
            contacts={record: held["email"] for record, held in self._before.items()},
            shown={
                record: held.get(self._fields["person.link"])
                for record, held in self._crm.contacts(self._account).items()
            },
            people=[
                Referrer(
                    email=one["email"], link=one["link"], records=[record["ref"]["id"] for record in one["records"]]
                )
                for one in await self._referrers()
            ],
            told=await self._told(),
            writes=dict(self._writes),
            later=dict(self._crm.contact_writes(count) - self._writes),
            changed=self._referring,
            imported=self._last["progress"]["imported"],
            may_repeat=len(self._kills) * self.options.times.contacts,
        )
        findings = check_sync(history)
        verdict = Verdict(
            findings=findings, accepted=len(history.contacts), places={"imported": history.imported}, events=0,
            repeated_events=0,
        )  # fmt: skip
        waits = sorted(one.taken_over_after for one in self._kills if one.taken_over_after is not None)
        report = {
            "database": self.options.database,
            "processes": " + ".join(self.options.processes),
            "contacts": len(history.contacts),
            "kills": len(self._kills),
            "written again after a kill": history.repeated,
            "attempts lost with their process": (await self._looking.attempts()).get("lost", 0),
            "findings": len(findings),
            "recovery max s": f"{waits[-1]:.1f}" if waits else "–",
            "seconds to settle": round(settled),
        }
        return Result(verdict=verdict, report=report)

    async def _told(self) -> dict[str, int]:
        """Return how often the host was told of each person, by e-mail."""
        told: Counter[str] = Counter()
        after = 0
        while (page := await self._call("GET", f"/v1/events?after={after}&limit=200"))["data"]:
            for event in page["data"]:
                if event["type"] == "contacts.imported":
                    told.update(one["email"] for one in event["data"]["people"])
            after = page["next"]
        return dict(told)


QUICK = Options(
    signups=100, kills=4, accounts=1, every=0.1, lost=0.0, refused=0.02, failed=0.0, absurd=0.0, patience=300.0,
    times=Times(lease=4, settle=6, feed=600, redelivery=0.02, retry=0.1, contacts=10), quiet=True,
)  # fmt: skip
"""A cut for the suite. No answer is lost here: what then is written twice is not what is counted."""


async def run(options: Options, folder: Path, database_url: str) -> Result:
    """Do one run in a folder and return what it showed."""
    return await SyncRun(options, folder, database_url).go()


def main(arguments: list[str] | None = None) -> int:
    """Read options, run, and print the report; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--contacts", type=int, default=5_000)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="gateway-faults-", ignore_cleanup_errors=True) as made:
        folder, server = Path(made), None
        url = f"sqlite:///{folder / 'gateway.db'}"
        if given.database == "postgresql":
            server, url = postgresql(folder)
        options = Options(
            database=given.database, processes=("serve",) if server is None else ("serve", "serve", "worker"),
            signups=given.contacts, kills=given.kills, accounts=1, every=0.3, lost=0.0, refused=0.02, failed=0.0,
            absurd=0.0, seed=given.seed, times=Times(feed=60, redelivery=0.02, retry=0.2, contacts=50),
        )  # fmt: skip
        try:
            result = asyncio.run(run(options, folder, url))
        finally:
            if server is not None:
                server.cleanup()
        sys.stdout.write(f"{shown(result)}\n")
    return 1 if result.verdict.findings else 0


if __name__ == "__main__":
    sys.exit(main())
