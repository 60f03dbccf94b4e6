"""Every task kind and every periodic piece of work, joined: one line a flow."""

from gateway.flows.campaigns import attention
from gateway.flows.connections import app_calls, disconnect, installations, keepalive, reminders
from gateway.flows.contact_index import walking
from gateway.flows.contact_sync import contact_sync
from gateway.flows.notify import notify
from gateway.flows.people import status
from gateway.flows.referrals import feeds, inbound, subscriptions, sweep
from gateway.flows.rewards import rewards
from gateway.flows.services import Services
from gateway.flows.signups import doubles, push, signup
from gateway.storage.running import Handler, Periodic

FLOWS = (
    signup,
    push,
    doubles,
    status,
    inbound,
    app_calls,
    subscriptions,
    feeds,
    walking,
    sweep,
    rewards,
    notify,
    disconnect,
    keepalive,
    reminders,
    installations,
    attention,
    contact_sync,
)


def handlers(services: Services) -> dict[str, Handler]:
    """Return the handler of each task kind."""
    joined: dict[str, Handler] = {}
    for flow in FLOWS:
        for kind, handler in getattr(flow, "handlers", lambda _: {})(services).items():
            if kind in joined:
                raise ValueError(f"two flows handle tasks of kind {kind!r}")
            joined[kind] = handler
    return joined


def periodic(services: Services) -> list[Periodic]:
    """Return all periodic work."""
    return [work for flow in FLOWS for work in getattr(flow, "periodic", lambda _: [])(services)]
