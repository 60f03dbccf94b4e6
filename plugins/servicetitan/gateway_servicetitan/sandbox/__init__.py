"""A local fake of ServiceTitan that behaves as the vendor's contract says, and says no as the vendor does.

In tests::

    sandbox = create_sandbox(clock=clock, http=client_over_the_gateway)
    client = httpx.AsyncClient(transport=sandbox.transport())
    access = sandbox.connect_app()     # client id, client secret, booking provider value
    job = sandbox.convert_booking(booking.id)
    sandbox.set_job_status(job.id, "Completed")
    await sandbox.deliver_webhooks()

On a port: ``gateway sandbox servicetitan``, ``python -m gateway_servicetitan.sandbox``, or ``create_app()`` under an
ASGI server. Controls are methods of ``Sandbox`` and, for the command line and other languages, ``POST
/_control/{method}``.
"""

from gateway.sdk.faults import RequestEntry
from gateway_servicetitan.sandbox.app import Sandbox, create_app, create_sandbox, serve
from gateway_servicetitan.sandbox.core import Options
from gateway_servicetitan.sandbox.demo import Demo
from gateway_servicetitan.sandbox.driver import ServiceTitanDriver, driver
from gateway_servicetitan.sandbox.outbox import Attempt
from gateway_servicetitan.sandbox.told import Story, story

__all__ = [
    "Attempt",
    "Demo",
    "Options",
    "RequestEntry",
    "Sandbox",
    "ServiceTitanDriver",
    "Story",
    "create_app",
    "create_sandbox",
    "driver",
    "serve",
    "story",
]
