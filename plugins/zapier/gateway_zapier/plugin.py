"""The hooks of the Zapier integration; each delegates to the module that holds its idea."""

from typing import Any

from gateway import hookimpl
from gateway.sdk.connection import Connection
from gateway.sdk.routes import Route
from gateway.sdk.subjects import EventSubjects
from gateway_schemas.connection import VendorAccount
from gateway_schemas.events import Event
from gateway_schemas.manifest import Manifest
from gateway_zapier import events
from gateway_zapier.manifest import MANIFEST
from gateway_zapier.routes import ROUTES
from gateway_zapier.settings import ZapierSettings


@hookimpl
def describe() -> Manifest:
    """Return the manifest."""
    return MANIFEST


@hookimpl
def settings_type() -> type[ZapierSettings]:
    """Return the type of ``GATEWAY_ZAPIER_*``."""
    return ZapierSettings


@hookimpl
async def verify_connection(connection: Connection) -> VendorAccount:
    """Return the account itself: Zapier tells us no identity, our key names the account."""
    account = await connection.host.account()
    return VendorAccount(identity=account.id, name=account.name)


@hookimpl
async def disconnect() -> dict[str, list[str]]:
    """Return what is left to do: Zapier takes no call by which Zaps could be turned off from here."""
    return {"removed": [], "by_hand": ["Turn off the Zaps of this account in Zapier; they get no more events."]}


@hookimpl
def shape_event(event: Event, subjects: EventSubjects) -> dict[str, Any] | None:
    """Return the body of an event for Zaps; see ``events.shape``."""
    return events.shape(event, subjects)


@hookimpl
def routes() -> list[Route]:
    """Return what the app calls; see ``routes.ROUTES``."""
    return ROUTES
