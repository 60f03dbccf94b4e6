"""What every flow is given: settings, database, integrations, vault, clock, and outgoing HTTP."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
import structlog

from gateway.plugins import Registry
from gateway.sdk.clock import Clock
from gateway.sdk.host import Host
from gateway.settings import Settings
from gateway.storage.connections import ConnectionRow
from gateway.storage.engine import Database
from gateway.storage.vault import Vault

M = TypeVar("M")


@dataclass(slots=True, kw_only=True)
class Services:
    """One per process; made by ``gateway.app`` and handed to flows, API, console and worker.

    Attributes:
        vendor_transport: How vendors are reached: the network, or a sandbox in tests. Connections check hosts.
        vendor_http: Client over it for calls that are no connection's, such as those for tokens.
        webhook_http: Client for endpoints, behind the SSRF guard.
        host_for: Makes what a plugin may ask of us (``flows/connections/host.py``); handed in, since all flows
            stand behind it.
    """

    settings: Settings
    database: Database
    integrations: Registry
    vault: Vault
    clock: Clock
    vendor_transport: httpx.AsyncBaseTransport
    vendor_http: httpx.AsyncClient
    webhook_http: httpx.AsyncClient
    host_for: Callable[["Services", ConnectionRow], Host]
    log: structlog.typing.FilteringBoundLogger = field(default_factory=structlog.get_logger)
    _memory: dict[type, Any] = field(default_factory=dict, repr=False)

    def memory(self, kind: type[M]) -> M:
        """Return what this process remembers of one kind: one object of the class, made without arguments on first use.

        For what may be lost with the process (a cached token, a rate window) and must not be shared between two
        ``Services`` in one process, as a module's global would be.
        """
        if kind not in self._memory:
            self._memory[kind] = kind()
        remembered: M = self._memory[kind]
        return remembered
