"""Connect steps that are done through our own API: forms, and the operator's approval."""

import re

import msgspec

from gateway.errors import Refused, invalid
from gateway.flows.connections import own_keys
from gateway.flows.connections.activation import Completed, complete
from gateway.flows.connections.client_tokens import ClientTokens
from gateway.flows.connections.connect import Started, start
from gateway.flows.connections.connect_steps import integration_of, new_state, step_of, wrong_state
from gateway.flows.connections.credentials import FORM, TokenMemory
from gateway.flows.connections.opening import Given, named_headers, open_connection
from gateway.flows.services import Services
from gateway.plugins import Integration
from gateway.sdk.auth import TokenSource
from gateway.sdk.errors import ReauthRequired
from gateway.storage import accounts
from gateway.storage.columns import new_id
from gateway.storage.connections import ConnectionRow
from gateway_schemas.connection import ConnectInput, StepInput, VendorAccount
from gateway_schemas.manifest import AccountKey, ConnectStep, Credentials
from gateway_schemas.problem import FieldProblem

VERIFY_SECONDS = 25.0
LONGEST_VALUE = 4_000


async def begin(
    services: Services, account_id: str, wanted: ConnectInput, *, state: str | None = None, form: str | None = None
) -> Started:
    """Begin to connect; an integration without connect steps is connected at once. Errors as of ``connect.start``.

    Where the manifest says so, a key of the account is made with it; the answer is the only place where it can be read.
    What a call began and did not end, another one ends.

    Args:
        services: The process's services.
        account_id: Whose connection.
        wanted: Which integration, and where to go afterwards.
        state: As of ``connect.start``.
        form: As of ``own_keys.prepare``: a form that is sent again is answered with the key that it made.
    """
    started = await start(services, account_id, wanted, state=state)
    integration = integration_of(services, wanted.integration)
    if integration.manifest.connect_steps:
        return started
    if started.row.state == "active":
        again = await own_keys.shown_again(services, account_id, integration, form)
        return msgspec.structs.replace(started, key=again)
    verified = await verify(services, integration, started.row, "", Given())
    stored = shown = None
    if isinstance(integration.manifest.auth, AccountKey):
        async with services.database.read() as conn:
            stored, shown = await own_keys.prepare(services, conn, account_id, integration, form, services.clock.now())
    row = await complete(services, integration, started.row, Completed(step=None, verified=verified, key=stored))
    if stored is not None:
        async with services.database.read() as conn:  # another call may have been faster, with a key of its own
            shown = shown if await accounts.key_by_hash(conn, stored.key_hash) is not None else None
    return Started(row=row, created=started.created, key=shown)


async def submit(services: Services, row: ConnectionRow, key: str, given: StepInput) -> ConnectionRow:
    """Take the values of a form: check them, let the plugin prove them, store them, go on.

    Raises:
        Refused: ``invalid_input`` naming each field, ``wrong_state`` when this form is not to be filled in now,
            ``other_vendor_account``, ``vendor_account_in_use``.
        PluginError: The vendor refused or could not be reached; nothing is stored.
    """
    integration = integration_of(services, row.integration)
    step = _current(integration, row, key, "form")
    given = StepInput(values={key: value.strip() for key, value in given.values.items()})  # pasted, often with a space
    _check_values(step, given.values, {header.field for header in named_headers(integration)})
    async with services.database.read() as conn:
        stored = await services.vault.get(conn, row.id, FORM)
    earlier = {} if stored is None else msgspec.json.decode(stored, type=dict[str, str])
    values = {**earlier, **given.values}
    checked_as = new_id("chk")
    try:
        verified = await verify(
            services,
            integration,
            row,
            key,
            Given(source=_source(services, integration, step, checked_as, values), credentials=values),
        )
    except ReauthRequired as error:
        problems = [
            FieldProblem(field=f"values.{field.key}", message=str(error), code="refused") for field in step.fields
        ]
        raise Refused("invalid_input", f"The vendor refused these values: {error}.", problems) from error
    finally:
        services.memory(TokenMemory).forget(checked_as)
    done = Completed(step=key, verified=verified, form=dict(given.values))
    return await complete(services, integration, row, done)


async def approve(services: Services, row: ConnectionRow) -> ConnectionRow:
    """Approve a connection that waits for the operator; the person who connects goes on with the next step.

    Raises:
        Refused: ``wrong_state`` unless it waits for approval.
    """
    integration = integration_of(services, row.integration)
    if row.state != "pending_approval" or row.step is None:
        raise wrong_state(row, "Only a connection that waits for approval can be approved")
    _current(integration, row, row.step, "approval")
    return await complete(services, integration, row, Completed(step=row.step, state=new_state()))


async def verify(
    services: Services, integration: Integration, row: ConnectionRow, step: str, given: Given
) -> VendorAccount | None:
    """Let the plugin prove whom the credentials belong to; ``None`` when it proves nothing."""
    if not integration.has("verify_connection"):
        return None
    connection = await open_connection(services, row, given=given)
    return await integration.call(
        integration.hooks.verify_connection(connection=connection, step=step), timeout_seconds=VERIFY_SECONDS
    )


def _source(
    services: Services, integration: Integration, step: ConnectStep, key: str, values: dict[str, str]
) -> TokenSource | None:
    """Return tokens for values that are being checked; a form before the one with the secret has none yet."""
    auth = integration.manifest.auth
    if isinstance(auth, Credentials) and auth.token_path is not None and values.get("client_secret"):
        return ClientTokens(services, integration, key, values)
    return None


def _current(integration: Integration, row: ConnectionRow, key: str, kind: str) -> ConnectStep:
    step = step_of(integration, row.step)
    if row.state == "disconnected" or step is None:
        raise wrong_state(row, f"No step {key!r} is to be done")
    if step.key != key or step.kind != kind:
        raise wrong_state(row, f"The step to be done now is {step.key!r} (a {step.kind}), not {key!r}")
    return step


def _check_values(step: ConnectStep, values: dict[str, str], in_headers: set[str]) -> None:
    problems: list[FieldProblem] = []
    fields = {field.key: field for field in step.fields}
    for key in values.keys() - fields.keys():
        known = ", ".join(fields) or "none"
        text = f"This step asks for no {key!r}; its fields are: {known}."
        problems.append(FieldProblem(field=f"values.{key}", message=text, code="unknown_field"))
    for field in step.fields:
        value = values.get(field.key, "")
        if not value.strip():
            problems.append(
                FieldProblem(field=f"values.{field.key}", message=f"{field.label} is needed.", code="required")
            )
        elif len(value) > LONGEST_VALUE or "\x00" in value:
            text = f"{field.label} is too long, or holds characters that no such value has."
            problems.append(FieldProblem(field=f"values.{field.key}", message=text))
        elif field.key in in_headers and not re.fullmatch(r"[\x20-\x7e]+", value):
            text = f"{field.label} holds a character that no such value has; copy it again, in one line."
            problems.append(FieldProblem(field=f"values.{field.key}", message=text))
        elif field.pattern is not None and re.fullmatch(field.pattern, value) is None:
            text = f"{field.label} does not look right. {field.help or ''}".strip()
            problems.append(FieldProblem(field=f"values.{field.key}", message=text, code="pattern"))
    if problems:
        raise invalid(*sorted(problems, key=lambda problem: problem.field))
