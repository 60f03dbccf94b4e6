"""The tasks of contact syncs, and the check that open ones go on: joined for ``flows/handlers.py``."""

from datetime import datetime

from gateway.flows.contact_sync.hints import ReadHints
from gateway.flows.contact_sync.pages import ReadPage
from gateway.flows.contact_sync.settle import FindMissing, Plan, Remark, Settle
from gateway.flows.contact_sync.tasks import HINTS, MISSING, PAGE, REMARK, SETTLE, WRITE
from gateway.flows.contact_sync.writing import WriteBack
from gateway.flows.services import Services
from gateway.storage.engine import AsyncConnection
from gateway.storage.running import Handler, Periodic
from gateway.storage.tasks import NewTask, insert_tasks

PLAN, PLAN_SECONDS = "plan_syncs", 15.0


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
    }


def periodic(_services: Services) -> list[Periodic]:
    """Return the check that open syncs go on."""

    async def make_tasks(conn: AsyncConnection, now: datetime) -> None:
        await insert_tasks(conn, [NewTask(kind=PLAN, args={}, lane="internal", unique_key=PLAN)], now)

    return [Periodic(PLAN, PLAN_SECONDS, make_tasks)]
