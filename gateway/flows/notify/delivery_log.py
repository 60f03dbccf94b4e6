"""The log of deliveries: what was sent where, how often, what came of it; and to send one again."""

from gateway.errors import Refused, not_found
from gateway.flows.accounts import existing
from gateway.flows.notify import replay
from gateway.flows.people.status_tasks import tasks_for
from gateway.flows.services import Services
from gateway.flows.signups.push import replay_push
from gateway.storage import delivery_log, endpoints, people
from gateway.storage.delivery_log import Filter
from gateway.storage.engine import AsyncConnection
from gateway.storage.tasks import insert_tasks
from gateway_schemas.base import Page
from gateway_schemas.events import Delivery


async def refuse_unknown(
    services: Services, *, account_id: str | None, endpoint_id: str | None, endpoints_of: str | None
) -> None:
    """Go on if what deliveries are narrowed by is there; a filter by nothing would look like a log without entries.

    Args:
        services: The process's services.
        account_id: Whose deliveries; null: everybody's.
        endpoint_id: To which endpoint, removed ones too; null: to all.
        endpoints_of: The account that has to own the endpoint; null: the host asks.

    Raises:
        Refused: ``not_found`` for the account or the endpoint.
    """
    async with services.database.read() as conn:
        if account_id is not None:
            await existing(conn, account_id)
        if endpoint_id is not None and not await endpoints.is_known(conn, endpoint_id, endpoints_of):
            raise not_found("endpoint", endpoint_id)


async def read(services: Services, wanted: Filter) -> Page[Delivery]:
    """Return one page of deliveries, newest first."""
    async with services.database.read() as conn:
        found = await delivery_log.page(conn, wanted)
    is_full = len(found) == wanted.limit
    return Page(data=found, next=delivery_log.place(found[-1].id) if is_full else None)


async def find(services: Services, delivery_id: str) -> tuple[Delivery, str | None]:
    """Return a delivery, and the account that its target belongs to (null: the host's own endpoint).

    Raises:
        Refused: ``not_found``.
    """
    async with services.database.read() as conn:
        found = await delivery_log.get(conn, delivery_id)
    if found is None:
        raise not_found("delivery", delivery_id)
    return found


async def send_again(services: Services, delivery: Delivery) -> None:
    """Send a delivery again; what a push has done already is not done twice.

    Raises:
        Refused: ``wrong_state`` when it cannot go out now, and why.
    """
    if delivery.kind == "event":
        await replay.replay_one(services, delivery.id)
        return
    now = services.clock.now()

    async def push(conn: AsyncConnection) -> bool:
        if delivery.kind == "signup":
            return await replay_push(conn, delivery.subject, now)
        follow = await tasks_for(conn, (await people.by_ids(conn, [delivery.subject])).values())
        await insert_tasks(conn, follow, now)
        return bool(follow)

    if not await services.database.writer.run(push):
        detail = "It is in the CRM already, or no CRM is connected and set up for it; look at the person's timeline."
        raise Refused("wrong_state", detail)
