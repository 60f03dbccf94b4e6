"""``gateway`` as a process of a run: the real command, with shorter waits, and if asked to with a promise broken.

``python -m tests.faults.process serve --port 8001``. What is shortened is named in ``Times`` and shown in the report;
nothing else differs from ``gateway serve``. With ``GATEWAY_FAULTS_TIMES`` unset it is as it ships.
"""

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from gateway import cli
from gateway.app import create_worker
from gateway.cli import serve
from gateway.flows import mishaps
from gateway.flows.contact_sync import pages, writing
from gateway.plugins import Integration
from gateway.storage import running
from gateway.webhooks import schedule
from gateway.worker import Worker

from .mutations import mutate


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """Waits of a run, in seconds; each stands for a longer one of the product, in the same order of sizes.

    Attributes:
        lease: How long a lane stays with a dead owner (10 as shipped).
        settle: After this long the vendor shows what it has written (Pipedrive: 30, ServiceTitan: 60).
        feed: How often feeds of changes are read (Pipedrive: 300, with healthy webhooks 900).
        redelivery: Factor for the waits between deliveries of an event (1 as shipped: 5 s, 5 min, 30 min …).
        retry: Factor for the back-off of a task (1 as shipped: 10 s, 30 s, 90 s …).
        contacts: Contacts of a page, of a batch of pages, and of a round of writes (as shipped: 500, 2,000, 500).
    """

    lease: float = 10.0
    settle: float | None = None
    feed: int | None = None
    redelivery: float = 1.0
    retry: float = 1.0
    contacts: int | None = None


def shorten(times: Times) -> None:
    """Use these waits in this process."""
    assert Worker.__init__.__kwdefaults__ is not None
    Worker.__init__.__kwdefaults__["lease_seconds"] = times.lease
    schedule.WAITS = tuple(max(1, round(wait * times.redelivery)) for wait in schedule.WAITS)  # type: ignore[assignment]
    backoff = running.backoff_seconds
    shorter = lambda tries: backoff(tries) * times.retry  # noqa: E731
    running.backoff_seconds = mishaps.backoff_seconds = shorter  # type: ignore[assignment]
    if times.contacts is not None:
        import_module("gateway_pipedrive.wire").PAGE = times.contacts  # type: ignore[attr-defined]
        pages.BATCH_CONTACTS = writing.ROUND = times.contacts
    real = Integration.__init__

    def init(self: Integration, *args: Any, **kwargs: Any) -> None:
        real(self, *args, **kwargs)
        changes: dict[str, Any] = {} if times.settle is None else {"settle_seconds": times.settle}
        if times.feed is not None:
            changes["feeds"] = [
                msgspec.structs.replace(one, interval_seconds=times.feed, healthy_interval_seconds=times.feed)
                if one.interval_seconds <= 900
                else one
                for one in self.manifest.feeds
            ]
        self.manifest = msgspec.structs.replace(self.manifest, **changes)

    Integration.__init__ = init  # type: ignore[method-assign]


def tell_owner(services: Any) -> Worker:
    """Say under which name this process owns lanes, so that a run can see when a dead owner's are taken over."""
    worker = create_worker(services)
    if path := os.environ.get("GATEWAY_FAULTS_OWNER"):
        Path(path).write_text(worker.owner)
    return worker


def main(*arguments: str) -> None:
    """Run the command line of the gateway."""
    if arguments:
        sys.argv = ["gateway", *arguments]
    if given := os.environ.get("GATEWAY_FAULTS_TIMES"):
        shorten(msgspec.json.decode(given, type=Times))
    for name in os.environ.get("GATEWAY_FAULTS_MUTATIONS", "").split():
        mutate(name)
    serve.create_worker = tell_owner
    cli.main()


if __name__ == "__main__":
    main()
