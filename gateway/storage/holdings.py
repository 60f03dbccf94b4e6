"""The lanes that a process owns: claim them, keep their leases, give them back, notice that one is lost."""

import asyncio
import random
import time
from collections.abc import Callable, Collection

import structlog

from gateway.storage import lanes
from gateway.storage.engine import AsyncConnection, Database
from gateway.storage.lanes import Lane, Lease
from gateway.storage.running import LaneLimits, OwnedLane
from gateway.storage.transitions import put_back

log = structlog.get_logger(__name__)

CLAIM_AT_LEAST = 32
"""Of the lanes that wait a process claims a quarter at a time, or this many: so that several share the work."""

REMEMBERED_LANES = 10_000


class Holdings:
    """The lanes of one owner."""

    def __init__(
        self, database: Database, owner: str, limits: Callable[[str], LaneLimits], lease_seconds: float
    ) -> None:
        """Begin with none; ``owner`` must be unique to this process and start."""
        self.owner = owner
        self.lanes: dict[str, OwnedLane] = {}  # in the order of their turns
        self._database = database
        self._limits = limits
        self._lease_seconds = lease_seconds
        self._memories: dict[str, tuple[int, dict[str, object]]] = {}  # of lanes given back, by the epoch they had
        self._breaking_off: dict[asyncio.Task[None], str] = {}  # what still ends in lanes that were lost

    def has(self, lane: OwnedLane) -> bool:
        """Return whether ``lane`` is still ours, as far as we know."""
        return self.lanes.get(lane.lease.lane) is lane

    def jobs(self) -> list[asyncio.Task[None]]:
        """Return all tasks at work, those included that are being broken off."""
        return [*self._breaking_off, *(job for lane in self.lanes.values() for job in lane.running.values())]

    async def claim(self) -> bool:
        """Look which lanes have due work, and claim some of those that nobody owns; return whether more wait."""
        async with self._database.read() as conn:
            free, mine = await lanes.find_due(conn, self.owner)
        for lane in (self.lanes[lane_id] for lane_id in mine if lane_id in self.lanes):
            lane.ready = lane.runs = True
        # a lapsed lane that we think is ours is for renew() to keep or lose; in one that we lost, nothing may start
        # while its work still breaks off: two tasks of one exclusive key would run together
        closed = {*self.lanes, *self._breaking_off.values()}
        free = [lane for lane in free if lane not in closed]
        if not free:
            return False
        chosen = random.sample(free, min(len(free), max(len(free) // 4, CLAIM_AT_LEAST)))
        before = time.monotonic()

        async def claim(conn: AsyncConnection) -> list[Lease]:
            leases = await lanes.claim(conn, self.owner, chosen, self._lease_seconds)
            await put_back(conn, [lease.lane for lease in leases], "lost")
            return leases

        for lease in await self._database.writer.run(claim, bounded=False):
            epoch, memory = self._memories.pop(lease.lane, (0, {}))
            if epoch + 1 != lease.epoch:  # somebody else owned it meanwhile
                memory = {}
            self.lanes[lease.lane] = OwnedLane(
                lease, self._limits(lease.lane), memory, lease_seconds=self._lease_seconds, renewed=before
            )
        return len(chosen) < len(free)

    async def give_back_idle(self, idle_seconds: float) -> None:
        """Give back the lanes in which nothing ran or waited for ``idle_seconds``."""
        since = time.monotonic() - idle_seconds
        await self.give_back([lane for lane in self.lanes.values() if lane.is_idle(since)])

    async def give_back(self, given: Collection[OwnedLane]) -> None:
        """Release lanes; what was broken off in them goes back to available."""
        if not given:
            return
        leases = [lane.lease for lane in given]
        for lane in given:
            del self.lanes[lane.lease.lane]
            self._memories[lane.lease.lane] = (lane.lease.epoch, lane.memory)
        while len(self._memories) > REMEMBERED_LANES:
            del self._memories[next(iter(self._memories))]

        async def release(conn: AsyncConnection) -> None:
            standing = await lanes.owned(conn, leases)
            await put_back(conn, [lease.lane for lease in standing], "stopped")
            await lanes.release(conn, standing)

        await self._database.writer.run(release, bounded=False)

    async def put_back_strays(self) -> None:
        """Make tasks available that are marked as running in our lanes and do not run."""
        doubtful = [lane for lane in self.lanes.values() if lane.has_strays]
        if not doubtful:
            return

        async def write(conn: AsyncConnection) -> None:
            standing = await lanes.owned(conn, [lane.lease for lane in doubtful])
            at_work = {task for lane in doubtful for task in lane.running}
            await put_back(conn, [lease.lane for lease in standing], "lost", at_work=at_work)

        for lane in doubtful:
            lane.has_strays = False
        try:
            await self._database.writer.run(write, bounded=False)
        except Exception:
            for lane in doubtful:
                lane.has_strays = True
            raise

    async def keep(self) -> None:
        """Renew all leases every third of their time, for ever; after a failure try again soon."""
        renewed = True
        while True:
            await asyncio.sleep(self._lease_seconds / (3 if renewed else 30))
            renewed = await self.renew()

    async def renew(self) -> bool:
        """Renew all leases in one statement; give up what is lost, or was not renewed for two thirds of its time.

        Returns:
            False if the statement failed.
        """
        if not self.lanes:
            return True
        before = time.monotonic()
        known = {lane.lease: lane for lane in self.lanes.values()}

        async def renew(conn: AsyncConnection) -> dict[Lease, Lane]:
            return await lanes.renew(conn, known.keys(), self._lease_seconds)

        patience = self._lease_seconds * 2 / 3
        try:
            async with asyncio.timeout(max(0.0, min(lane.renewed for lane in known.values()) + patience - before)):
                standing = await self._database.writer.run(renew, bounded=False, urgent=True)
        except Exception as error:  # noqa: BLE001 - whatever it is, the leases run out
            log.warning("lanes.not_renewed", error=str(error) or "no answer in time")
            for lane in known.values():
                if time.monotonic() >= lane.renewed + patience:
                    self.lose(lane)
            return False
        for lease, lane in known.items():
            if (row := standing.get(lease)) is not None:
                lane.renewed = before
                lane.runs = lane.runs and row.runs
            elif self.has(lane):
                self.lose(lane)
        return True

    def lose(self, lane: OwnedLane) -> None:
        """Break off what runs in a lane that is ours no more; its new owner puts the tasks back."""
        if self.has(lane):
            del self.lanes[lane.lease.lane]
            log.warning("lane.lost", lane=lane.lease.lane, epoch=lane.lease.epoch, tasks=len(lane.running))
        for job in lane.running.values():
            if job is not asyncio.current_task() and job not in self._breaking_off:
                job.cancel()
                self._breaking_off[job] = lane.lease.lane
                job.add_done_callback(self._breaking_off.pop)
