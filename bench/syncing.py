"""One contact sync, or the bare page loop, as a process of its own: its CPU time and peak memory are its alone.

``python -m bench.syncing bare PORT CONTACTS``, or ``… sync|write_back PORT CONTACTS`` with the gateway's settings in
the environment; prints one line of JSON. The gateway runs as ``gateway worker`` does, with its own count of the
vendor's calls lifted: the vendor of the bench takes any number.
"""

import asyncio
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import msgspec

from bench.vendor import COUNT, LINK, PAGE
from gateway.app import create_worker, open_services
from gateway.cli import logs
from gateway.cli.serve import keep_what_is_loaded
from gateway.flows.contact_sync.tasks import page_task
from gateway.flows.services import Services
from gateway.settings import Settings, load
from gateway.storage import connections, syncs
from gateway.storage.engine import AsyncConnection
from gateway.storage.tasks import insert_tasks
from gateway_pipedrive.models import Answer, Person
from gateway_schemas.manifest import RateBudget
from gateway_schemas.records import Field
from gateway_schemas.sync import ContactSelection, SyncMapping, WriteBack

ACCOUNT, CAMPAIGN = "acme-0", "spring"
UNLIMITED = RateBudget(burst_calls=10_000_000, burst_seconds=1, daily=None, concurrency=4)
LOOK_SECONDS = 0.25
MAPPING = {"first_name": "first_name", "last_name": "last_name", "emails": "email", "phones": "phone"}
WRITES = [WriteBack(source="person.link", field=LINK), WriteBack(source="person.referral_count", field=COUNT)]
FIELDS = [
    Field(key=LINK, label="Referral Link", type="text", custom=True, max_length=255),
    Field(key=COUNT, label="Referral Count", type="number", custom=True),
]


async def bare(port: int, contacts: int) -> dict[str, float]:
    """Read and decode every page as the plugin does; store nothing."""
    decoder = msgspec.json.Decoder(Answer[list[Person]], strict=False)
    read, cursor = 0, None
    began, cpu = time.perf_counter(), cpu_seconds()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        while True:
            params = {"limit": PAGE, "sort_by": "id"} | ({"cursor": cursor} if cursor else {})
            answer = decoder.decode((await client.get("/api/v2/persons", params=params)).content)
            read += len(answer.data)
            cursor = answer.additional_data.next_cursor if answer.additional_data else None
            if cursor is None:
                break
    assert read == contacts
    return {"seconds": time.perf_counter() - began, "cpu_seconds": cpu_seconds() - cpu}


async def sync(contacts: int, *, write_back: bool) -> dict[str, float]:
    """Sync every contact, with a worker as it runs in production."""
    async with open_services(load(Settings)) as services:
        integration = services.integrations.get("pipedrive")
        assert integration is not None
        integration.manifest = msgspec.structs.replace(integration.manifest, rate_budget=UNLIMITED)
        worker = create_worker(services)
        keep_what_is_loaded()
        row = await _begin(services, write_back=write_back)
        running = asyncio.create_task(worker.run())
        began, cpu = time.perf_counter(), cpu_seconds()
        now = await _look(services, row.id)
        while now.state == "running":
            await asyncio.sleep(LOOK_SECONDS)
            now = await _look(services, row.id)
        seconds, used = time.perf_counter() - began, cpu_seconds() - cpu
        await worker.stop()
        await running
    assert (now.state, now.imported, now.to_write) == ("completed", contacts, 0), now
    assert now.written == (contacts if write_back else 0), now
    return {"seconds": seconds, "cpu_seconds": used}


async def _look(services: Services, sync_id: str) -> syncs.SyncRow:
    async with services.database.read() as conn:
        now = await syncs.get(conn, sync_id)
    assert now is not None
    return now


async def _begin(services: Services, *, write_back: bool) -> syncs.SyncRow:
    now = services.clock.now()
    async with services.database.read() as conn:
        connection = await connections.open_crm(conn, ACCOUNT)
    assert connection is not None
    row = syncs.SyncRow(
        id=syncs.new_sync_id(), account_id=ACCOUNT, campaign_id=CAMPAIGN, connection_id=connection.id,
        integration="pipedrive", identity=connection.identity or "", ongoing=False, selection=ContactSelection(),
        mapping=[SyncMapping(field=field, to=f"person.{to}") for field, to in MAPPING.items()],
        write_back=WRITES if write_back else [], fields=FIELDS if write_back else [],
        walk_started_at=now, started_at=now, updated_at=now, links_due_at=now,
    )  # fmt: skip

    async def write(conn: AsyncConnection) -> None:
        assert await syncs.add(conn, row)
        await insert_tasks(conn, [page_task(row)], now)

    await services.database.writer.run(write)
    return row


def cpu_seconds() -> float:
    """Return the CPU time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_mib() -> float:
    """Return the most memory that this process had; what ``getrusage`` says on Linux may be what its parent had."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) / 1024 for line in status.read_text().splitlines() if "VmHWM" in line)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(kind: str, port: int, contacts: int) -> None:
    """Run one of the kinds and print what it took."""
    logs.configure("console", "error")
    work: Any = bare(port, contacts) if kind == "bare" else sync(contacts, write_back=kind == "write_back")
    figures = asyncio.run(work)
    print(json.dumps(figures | {"peak_mib": peak_mib()}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
