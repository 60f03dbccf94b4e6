"""A local fake of Pipedrive that behaves as the vendor's contract says, and says no as the vendor does.

In tests::

    sandbox = create_sandbox(clock=clock, http=client_over_the_gateway)
    client = httpx.AsyncClient(transport=sandbox.transport())
    token = sandbox.install()          # or walk through /oauth/authorize?…&decision=allow
    sandbox.win_deal(deal.id)
    await sandbox.deliver_webhooks()

On a port: ``gateway sandbox pipedrive``, ``python -m gateway_pipedrive.sandbox``, or ``create_app()`` under an ASGI
server.
Controls are methods of ``Sandbox`` and, for the command line and other languages, ``POST /_control/{method}``.
"""

from gateway_pipedrive.sandbox.app import Sandbox, create_app, create_sandbox, serve
from gateway_pipedrive.sandbox.core import Options
from gateway_pipedrive.sandbox.demo import Demo
from gateway_pipedrive.sandbox.driver import PipedriveDriver, driver
from gateway_pipedrive.sandbox.faults import RequestEntry
from gateway_pipedrive.sandbox.outbox import Attempt
from gateway_pipedrive.sandbox.told import Story, story

__all__ = [
    "Attempt",
    "Demo",
    "Options",
    "PipedriveDriver",
    "RequestEntry",
    "Sandbox",
    "Story",
    "create_app",
    "create_sandbox",
    "driver",
    "serve",
    "story",
]
