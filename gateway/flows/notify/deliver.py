"""Deliver: send one event to one endpoint, signed anew at each attempt, for about three days.

An endpoint that says 410 is left at once. One that took nothing for five days is disabled; what waits for it is kept.
"""

from datetime import datetime

import structlog

from gateway.flows.notify.pace import Pace
from gateway.flows.notify.publishing import NewEvent, publish
from gateway.flows.notify.replay import resume_task
from gateway.flows.notify.shaping import Shaper
from gateway.flows.services import Services
from gateway.storage import deliveries, endpoints
from gateway.storage.deliveries import Work
from gateway.storage.endpoints import EndpointRow, Reason, park_cause
from gateway.storage.engine import AsyncConnection
from gateway.storage.running import Apply, Done, Fail, Outcome, Park, Retry, TaskRun
from gateway.storage.tasks import Task, insert_tasks
from gateway.webhooks.schedule import GIVE_UP_AFTER, pause_seconds, wait_seconds
from gateway.webhooks.sending import Answer, send
from gateway.webhooks.signing import sign
from gateway_schemas.event_data import EndpointData
from gateway_schemas.events import DeliveryState

log = structlog.get_logger(__name__)

GONE = 410
_SLOW = "slow_answers"


class Deliver:
    """Handles ``deliver``."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self, run: TaskRun) -> Outcome:
        """Make one attempt."""
        delivery_id = run.task.args["delivery"]
        async with self._services.database.read() as conn:
            work = await deliveries.work(conn, delivery_id)
            secrets = [] if work is None else await live_secrets(self._services, conn, work.endpoint)
        if work is None or work.delivery.state in ("delivered", "cancelled"):
            return Done()
        if work.endpoint.removed_at is not None:
            return Done(_mark(delivery_id, "cancelled", run.now(), "the endpoint was removed"))
        if work.endpoint.state == "disabled":
            return self._park(work.endpoint, delivery_id, run.now())
        if work.event is None:
            error = "the event is older than the retention"
            return Fail(error, _mark(delivery_id, "failed", run.now(), error))
        shaper = Shaper(self._services)
        body = await shaper.body(work.endpoint, work.event)
        if body is None:
            return Done(_mark(delivery_id, "cancelled", run.now(), "the integration leaves this event out"))
        per_second = await shaper.per_second(work.endpoint)
        if per_second is not None:
            wait = self._services.memory(Pace).wait_seconds(work.endpoint.url, per_second, run.now())
            if wait > 0:
                await run.pause_lane(wait)
                return Retry(f"{per_second} a second go to this URL", after_seconds=wait, counts=False)
        headers = sign(work.event.id, body, secrets, self._services.clock.wall())
        answer = await send(self._services.webhook_http, work.endpoint.url, headers, body)
        run.excerpt(answer.excerpt)
        return await self._outcome(run, work, answer)

    async def _outcome(self, run: TaskRun, work: Work, answer: Answer) -> Outcome:
        now, endpoint, delivery_id = run.now(), work.endpoint, work.delivery.id
        if answer.error is None:
            run.lane_memory.pop(_SLOW, None)

            async def delivered(conn: AsyncConnection) -> None:
                await deliveries.mark(conn, delivery_id, "delivered", now)
                if endpoint.failing_since is not None:
                    await endpoints.note_success(conn, endpoint.id)

            return Done(delivered)
        log.info("delivery.failed", endpoint_id=endpoint.id, delivery_id=delivery_id, status=answer.status)
        if answer.status == GONE:

            async def gone(conn: AsyncConnection) -> None:
                await disable(conn, endpoint, "gone", now, account_id=work.delivery.account_id)
                if endpoint.connection_id is not None:  # a subscription is removed, and nothing signs for it again
                    await self._services.vault.delete(conn, endpoint.id)
                await deliveries.mark(conn, delivery_id, "failed", now, answer.error)

            return Fail(answer.error, gone)
        await self._slow_down(run, answer)
        if endpoint.failing_since is not None and now - endpoint.failing_since >= GIVE_UP_AFTER:

            async def give_up(conn: AsyncConnection) -> None:
                await disable(conn, endpoint, "failing", now, account_id=work.delivery.account_id)
                await deliveries.mark(conn, delivery_id, "parked", now, answer.error)

            return Park(park_cause(endpoint.id), answer.error, give_up)

        async def note(conn: AsyncConnection) -> None:
            await endpoints.note_failure(conn, endpoint.id, now)

        return Retry(answer.error, after_seconds=wait_seconds(run.task.tries, answer.retry_after), apply=note)

    async def _slow_down(self, run: TaskRun, answer: Answer) -> None:
        slow = run.lane_memory.get(_SLOW, 0) + 1
        pause = pause_seconds(answer.status, answer.retry_after, slow)
        if pause > 0:
            run.lane_memory[_SLOW] = slow
            await run.pause_lane(pause)

    def _park(self, endpoint: EndpointRow, delivery_id: str, now: datetime) -> Park:
        error = f"the endpoint is disabled ({endpoint.disabled_reason})"

        async def apply(conn: AsyncConnection) -> None:
            await deliveries.mark(conn, delivery_id, "parked", now, error)
            current = await endpoints.get(conn, endpoint.id)
            if current is not None and current.state == "enabled":  # enabled since we looked: release what we park
                await deliveries.mark(conn, delivery_id, "waiting", now)
                await insert_tasks(conn, [resume_task(endpoint.id)], now)

        return Park(park_cause(endpoint.id), error, apply)

    async def failed(self, conn: AsyncConnection, task: Task, error: str, now: datetime) -> None:
        """Record that all attempts were in vain; the event stays and can be sent again."""
        await deliveries.mark(conn, task.args["delivery"], "failed", now, error)


def _mark(delivery_id: str, state: DeliveryState, now: datetime, error: str) -> Apply:
    async def apply(conn: AsyncConnection) -> None:
        await deliveries.mark(conn, delivery_id, state, now, error)

    return apply


async def live_secrets(services: Services, conn: AsyncConnection, endpoint: EndpointRow) -> list[str]:
    """Return the secrets that sign now: the current one, and within its grace period the one before."""
    kept = await services.vault.get_all(conn, endpoint.id)
    until = endpoint.previous_secret_until
    live = [kept["secret"]] if "secret" in kept else []
    if "previous_secret" in kept and until is not None and services.clock.now() < until:
        live.append(kept["previous_secret"])
    return live


async def disable(
    conn: AsyncConnection, endpoint: EndpointRow, reason: Reason, now: datetime, *, account_id: str | None = None
) -> None:
    """Stop sending to an endpoint and tell so; nothing happens if it is disabled already.

    Args:
        conn: The writer's connection.
        endpoint: Which one; a subscription that is gone is removed.
        reason: ``gone`` cancels what waits, otherwise it is kept until the endpoint is enabled again.
        now: The time.
        account_id: In whose account the event is told when the endpoint is the host's; null: it is not told.
    """
    is_removed = reason == "gone" and endpoint.connection_id is not None
    changed = await endpoints.change(
        conn,
        endpoint.id,
        state="enabled",
        to_state="disabled",
        disabled_reason=reason,
        removed_at=now if is_removed else None,
    )
    if changed is None:
        return
    log.warning("endpoint.disabled", endpoint_id=endpoint.id, reason=reason)
    if reason == "gone":
        await deliveries.cancel_waiting(conn, endpoint.id, "the endpoint answered 410 Gone", now)
    else:
        await deliveries.park_waiting(conn, endpoint.id, f"the endpoint is disabled ({reason})")
    teller = endpoint.account_id or account_id
    if teller is not None and not is_removed:
        data = EndpointData(endpoint=endpoint.id, url=endpoint.url, reason=reason)
        await publish(conn, [NewEvent("endpoint.disabled", teller, None, data)], now)
