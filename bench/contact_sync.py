"""Contacts per second of a contact sync beside a bare page loop: ``uv run python bench/contact_sync.py``.

One run compares, in turns: a bare loop (httpx and msgspec, pages decoded, nothing stored), the sync without and with
write-back. The vendor is a process of its own that answers prepared pages of Pipedrive's ``GET /persons`` and any
``PATCH``, so that it is not what is measured; the gateway's own limits of calls are lifted, except in the last line,
which shows what a vendor's window of calls leaves. Each run is a process of its own: its CPU time and its peak memory
are its alone. ``--contacts 1000000`` shows that memory stays flat.
"""

import argparse
import asyncio
import base64
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec

from gateway.app import create_app, create_worker, open_services
from gateway.cli import logs
from gateway.flows.connections.credentials import SECRET
from gateway.flows.connections.token_calls import Tokens
from gateway.flows.services import Services
from gateway.settings import Settings
from gateway.storage import migrate, syncs
from gateway.testing.transports import RoutedTransport
from gateway_pipedrive.models import Answer, Person
from gateway_pipedrive.sandbox import create_sandbox
from gateway_schemas.manifest import RateBudget

PAGE = 500
PUBLIC, KEY = "https://gateway.test", "host-key-of-the-bench-0123456789abcdef"
LINK = "a" * 40
COUNT = "b" * 40
UNLIMITED = RateBudget(burst_calls=10_000_000, burst_seconds=1, daily=None, concurrency=4)


# --- the vendor --------------------------------------------------------------------------------------------


class Vendor(asyncio.Protocol):
    """Prepared pages of persons, and 200 to every change of one."""

    def __init__(self, contacts: int) -> None:
        self._contacts = contacts
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            found = head.lower().find(b"content-length:")
            length = int(head[found + 15 :].split(b"\r\n", 1)[0]) if found >= 0 else 0
            if len(self._buffer) < end + 4 + length:
                return
            self._buffer = self._buffer[end + 4 + length :]
            method, target = head.split(b" ", 2)[:2]
            body = self._page(target.decode()) if method == b"GET" else b'{"success":true,"data":{"id":1}}'
            self._transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
            )

    def _page(self, target: str) -> bytes:
        query = parse_qs(urlsplit(target).query)
        if query.get("sort_direction"):
            return _body(range(self._contacts, self._contacts + 1), None)
        first = int(query.get("cursor", ["1"])[0])
        last = min(first + PAGE - 1, self._contacts)
        return _body(range(first, last + 1), str(last + 1) if last < self._contacts else None)


def _body(numbers: range, cursor: str | None) -> bytes:
    rows = ",".join(
        f'{{"id":{n},"name":"Contact {n}","first_name":"Contact","last_name":"{n}","owner_id":1,"org_id":null,'
        '"add_time":"2026-01-01T00:00:00Z","update_time":"2026-01-02T00:00:00Z",'
        f'"emails":[{{"value":"c{n}@many.example","primary":true,"label":"work"}}],'
        f'"phones":[{{"value":"+49301{n:07}","primary":true,"label":"work"}}],"is_deleted":false,"visible_to":3,'
        f'"label_ids":[1],"picture_id":null,"custom_fields":{{"{LINK}":null,"{COUNT}":null}}}}'
        for n in numbers
    )
    more = "null" if cursor is None else f'"{cursor}"'
    return f'{{"success":true,"data":[{rows}],"additional_data":{{"next_cursor":{more}}}}}'.encode()


async def serve_vendor(port: int, contacts: int) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Vendor(contacts), "127.0.0.1", port)
    await server.serve_forever()


# --- what is measured --------------------------------------------------------------------------------------


async def bare(port: int, contacts: int) -> int:
    """Read and decode every page as the plugin does; store nothing."""
    decoder = msgspec.json.Decoder(Answer[list[Person]], strict=False)
    read, cursor = 0, None
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        while True:
            params = {"limit": PAGE, "sort_by": "id"} | ({"cursor": cursor} if cursor else {})
            answer = decoder.decode((await client.get("/api/v2/persons", params=params)).content)
            read += len(answer.data)
            cursor = answer.additional_data.next_cursor if answer.additional_data else None
            if cursor is None:
                assert read == contacts
                return read


@asynccontextmanager
async def connected(port: int, folder: Path) -> AsyncIterator[tuple[Services, str]]:
    """A new database with one account, connected to a sandbox as a person would, then pointed at the fast vendor."""
    url = os.environ.get("GATEWAY_BENCH_POSTGRES_URL") or f"sqlite:///{folder / 'gateway.db'}"
    await migrate.upgrade(url)
    settings = Settings(
        database_url=url,
        public_url=PUBLIC,
        host_keys=[KEY],
        secret_keys=["k1:" + base64.urlsafe_b64encode(b"0" * 32).decode()],
    )
    sandbox = create_sandbox(
        base_url="https://acme.pipedrive.com", callback_url=f"{PUBLIC}/v1/oauth/pipedrive/callback"
    )
    network = RoutedTransport({"acme.pipedrive.com": sandbox.transport(), "oauth.pipedrive.com": sandbox.transport()})
    environ = {
        "GATEWAY_PIPEDRIVE_CLIENT_ID": sandbox.client_id,
        "GATEWAY_PIPEDRIVE_CLIENT_SECRET": sandbox.client_secret,
    }
    async with open_services(settings, environ=environ, vendor_transport=network) as services:
        network.routes["gateway.test"] = httpx.ASGITransport(create_app(services))
        headers = {"authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(transport=network, base_url=PUBLIC, headers=headers) as api:
            (await api.put("/v1/accounts/acme", json={"name": "Acme", "currency": "EUR"})).raise_for_status()
            campaign = {"name": "Spring", "state": "live", "link_template": "https://refer.example/{code}"}
            (await api.put("/v1/accounts/acme/campaigns/spring", json=campaign)).raise_for_status()
            started = (await api.post("/v1/accounts/acme/connections", json={"integration": "pipedrive"})).json()
            async with httpx.AsyncClient(transport=network) as browser:
                page = await browser.get(started["next_step"]["url"] + "&decision=allow")
                (await browser.get(page.headers["location"])).raise_for_status()
        await create_worker(services).drain()
        now = services.clock.now()
        async with services.database.read() as conn:
            kept = await services.vault.get(conn, started["id"], SECRET)
        assert kept is not None
        tokens = msgspec.structs.replace(
            msgspec.json.decode(kept, type=Tokens),
            fresh_until=now + timedelta(days=2),
            expires_at=now + timedelta(days=2),
        )

        async def write(conn: Any) -> None:
            await services.vault.put(conn, started["id"], SECRET, msgspec.json.encode(tokens), now)

        await services.database.writer.run(write)
    environ["GATEWAY_PIPEDRIVE_API_URL"] = f"http://127.0.0.1:{port}"
    async with open_services(settings, environ=environ) as services:
        yield services, started["id"]


async def ours(port: int, contacts: int, folder: Path, *, write_back: bool, limited: bool) -> dict[str, float]:
    """Sync every contact, with a worker as it runs in production, and say how long reading and writing took."""
    async with connected(port, folder) as (services, connection_id):
        integration = services.integrations.get("pipedrive")
        assert integration is not None
        if not limited:
            integration.manifest = msgspec.structs.replace(integration.manifest, rate_budget=UNLIMITED)
        row = await begin(services, connection_id, write_back=write_back)
        worker = create_worker(services)
        running = asyncio.create_task(worker.run())
        began, cpu = time.perf_counter(), cpu_seconds()
        read_at: float | None = None
        cpu_read = written_when_read = 0.0
        while True:
            await asyncio.sleep(0.5)
            async with services.database.read() as conn:
                now = await syncs.get(conn, row.id)
            assert now is not None
            if now.phase != "reading" and read_at is None:
                read_at, cpu_read, written_when_read = time.perf_counter(), cpu_seconds(), now.written
            if now.state not in ("running", "watching"):
                break
            if limited and time.perf_counter() - began > 20:
                break
        ended = time.perf_counter()
        await worker.stop()
        await running
        if not limited:
            assert (now.state, now.imported) == ("completed", contacts), now
        read_at = read_at or ended
        return {
            "read_per_second": now.read / (read_at - began),
            "cpu_per_thousand": 1000 * ((cpu_read or cpu_seconds()) - cpu) / max(1, now.read),
            "written_per_second": now.written / (ended - began) if write_back else 0.0,
            "cpu_per_thousand_in_all": 1000 * (cpu_seconds() - cpu) / max(1, now.read),
            "written_while_reading": written_when_read,
        }


async def begin(services: Services, connection_id: str, *, write_back: bool) -> syncs.SyncRow:
    from gateway.flows.contact_sync.tasks import page_task
    from gateway.storage.tasks import insert_tasks
    from gateway_schemas.records import Field
    from gateway_schemas.sync import ContactSelection, SyncMapping, WriteBack

    now = services.clock.now()
    async with services.database.read() as conn:
        from gateway.storage import connections

        connection = await connections.get(conn, connection_id)
    assert connection is not None
    rows = [WriteBack(source="person.link", field=LINK), WriteBack(source="person.referral_count", field=COUNT)]
    fields = [
        Field(key=LINK, label="Referral Link", type="text", custom=True, max_length=255),
        Field(key=COUNT, label="Referral Count", type="number", custom=True),
    ]
    mapping = {"first_name": "first_name", "last_name": "last_name", "emails": "email", "phones": "phone"}
    row = syncs.SyncRow(
        id=syncs.new_sync_id(), account_id="acme", campaign_id="spring", connection_id=connection_id,
        integration="pipedrive", identity=connection.identity or "", ongoing=False, selection=ContactSelection(),
        mapping=[SyncMapping(field=field, to=f"person.{to}") for field, to in mapping.items()],
        write_back=rows if write_back else [], fields=fields if write_back else [],
        walk_started_at=now, started_at=now, updated_at=now, links_due_at=now,
    )  # fmt: skip

    async def write(conn: Any) -> None:
        assert await syncs.add(conn, row)
        await insert_tasks(conn, [page_task(row)], now)

    await services.database.writer.run(write)
    return row


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def run_one(kind: str, port: int, contacts: int) -> dict[str, float]:
    logs.configure("console", "error")
    if kind == "bare":
        began, cpu = time.perf_counter(), cpu_seconds()
        done = await bare(port, contacts)
        seconds = time.perf_counter() - began
        figures = {"read_per_second": done / seconds, "cpu_per_thousand": 1000 * (cpu_seconds() - cpu) / done}
    else:
        with tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder:
            figures = await ours(
                port, contacts, Path(folder), write_back=kind in ("write_back", "limited"), limited=kind == "limited"
            )
    return figures | {"peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def measure(kinds: list[str], contacts: int, runs: int) -> dict[str, list[dict[str, float]]]:
    """Run each kind in turns, each time in a new process beside the vendor's."""
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    vendor = subprocess.Popen([sys.executable, __file__, "vendor", str(port), "--contacts", str(contacts)])
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                break
            except OSError:
                time.sleep(0.1)
        for _ in range(runs):
            for kind in kinds:
                command = [sys.executable, __file__, "run", kind, str(port), "--contacts", str(contacts)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                found[kind].append(json.loads(done.stdout.splitlines()[-1]))
    finally:
        vendor.terminate()
        vendor.wait()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--contacts", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--kinds", default="bare,read,write_back,limited")
    given = parser.parse_args()
    if given.words[:1] == ["vendor"]:
        asyncio.run(serve_vendor(int(given.words[1]), given.contacts))
    elif given.words[:1] == ["run"]:
        print(json.dumps(asyncio.run(run_one(given.words[1], int(given.words[2]), given.contacts))))
    else:
        for kind, runs in measure(given.kinds.split(","), given.contacts, given.runs).items():
            middle = {name: statistics.median(one[name] for one in runs) for name in runs[0]}
            print(f"{kind:<12}" + "  ".join(f"{name} {value:,.3f}" for name, value in middle.items()), flush=True)


if __name__ == "__main__":
    main()
