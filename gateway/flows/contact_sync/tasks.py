"""The tasks of a contact sync: one reads pages, one writes back, one finds out whether it is done.

At most one of each waits per sync, and of a vendor tenant's syncs one reads and one writes at a time: signups find
free places in their lane.
"""

from gateway.storage.connections import lane_of
from gateway.storage.syncs import SyncRow
from gateway.storage.tasks import NewTask

PAGE, WRITE, SETTLE, MISSING, HINTS, REMARK = (
    "sync_page", "sync_write_back", "sync_settle", "sync_missing", "sync_hints", "sync_remark",
)  # fmt: skip
BULK = 3


def page_task(row: SyncRow) -> NewTask:
    """Return the task that reads the next page."""
    return _task(row, PAGE, exclusive="sync:read")


def write_task(row: SyncRow) -> NewTask:
    """Return the task that writes the next values back."""
    return _task(row, WRITE, exclusive="sync:write")


def settle_task(row: SyncRow) -> NewTask:
    """Return the task that finds out which phase a sync is in; it calls nobody, and waits for nothing."""
    return _task(row, SETTLE, lane="internal")


def missing_task(row: SyncRow, after: str = "") -> NewTask:
    """Return the task that looks for contacts which a whole walk did not meet."""
    return _task(row, MISSING, lane="internal", args={"walk": row.walk, "after": after})


def remark_task(row: SyncRow, after: str = "") -> NewTask:
    """Return the task that marks every contact to be written, since the write-back was mapped anew."""
    return _task(row, REMARK, lane="internal", args={"after": after})


def hints_task(row: SyncRow, ids: list[str], merged: dict[str, str]) -> NewTask:
    """Return the task that reads contacts of which the vendor said that they changed, some of them into others."""
    return NewTask(
        kind=HINTS,
        args={"sync": row.id, "ids": ids, "merged": merged},
        lane=lane_of(row.integration, row.identity),
        account_id=row.account_id,
        priority=BULK,
        exclusive_key="sync:read",
    )


def _task(
    row: SyncRow,
    kind: str,
    *,
    lane: str | None = None,
    exclusive: str | None = None,
    args: dict[str, object] | None = None,
) -> NewTask:
    return NewTask(
        kind=kind,
        args={"sync": row.id, **(args or {})},
        lane=lane or lane_of(row.integration, row.identity),
        account_id=row.account_id,
        priority=BULK,
        exclusive_key=exclusive or f"{kind}:{row.id}",
        unique_key=f"{kind}:{row.id}",
    )
