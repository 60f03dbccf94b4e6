"""The tasks of contact syncs, and the check that open ones go on: joined for ``flows/handlers.py``."""

from datetime import datetime, timedelta

from gateway.flows.contact_sync.drift import CHECK, CheckSyncs, check_task
from gateway.flows.contact_sync.hints import ReadHints
from gateway.flows.contact_sync.pages import ReadPage
from gateway.flows.contact_sync.settle import FindMissing, Plan, Remark, Settle
from gateway.flows.contact_sync.tasks import HINTS, MISSING, PAGE, REMARK, SETTLE, WRITE
from gateway.flows.contact_sync.writing import WriteBack
from gateway.flows.services import Services
from gateway.storage import connections, syncs
from gateway.storage.engine import AsyncConnection
from gateway.storage.running import Handler, Periodic
from gateway.storage.tasks import NewTask, insert_tasks

PLAN, PLAN_SECONDS = "plan_syncs", 15.0
CHECK_EVERY = timedelta(days=1)


def handlers(services: Services) -> dict[str, Handler]:
    """Return the handlers of this flow's tasks."""
    return {
        PAGE: ReadPage(services),
        WRITE: WriteBack(services),
        SETTLE: Settle(services),
        MISSING: FindMissing(services),
        REMARK: Remark(services),
        HINTS: ReadHints(services),
        PLAN: Plan(services),
        CHECK: CheckSyncs(services),
    }


def periodic(_services: Services) -> list[Periodic]:
    """Return the check that open syncs go on, and the nightly one of their mappings."""

    async def make_tasks(conn: AsyncConnection, now: datetime) -> None:
        await insert_tasks(conn, [NewTask(kind=PLAN, args={}, lane="internal", unique_key=PLAN)], now)

    async def make_checks(conn: AsyncConnection, now: datetime) -> None:
        open_ones = await syncs.in_states(conn, ["running", "watching", "needs_attention"])
        found = [await connections.get(conn, one) for one in sorted({row.connection_id for row in open_ones})]
        checks = [check_task(row) for row in found if row is not None and row.state == "active" and row.identity]
        await insert_tasks(conn, checks, now)

    return [
        Periodic(PLAN, PLAN_SECONDS, make_tasks),
        Periodic("check_syncs", CHECK_EVERY.total_seconds(), make_checks),
    ]
