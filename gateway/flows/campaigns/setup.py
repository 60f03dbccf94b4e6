"""Setups: how an integration is used for one campaign and role. Saved only when the manifest and the vendor agree."""

import msgspec

from gateway.errors import Refused, invalid
from gateway.flows.campaigns import attention
from gateway.flows.campaigns.campaign import changed_meanwhile, refuse_unknown
from gateway.flows.campaigns.setup_checks import Checked, check, locality_of, needs
from gateway.flows.campaigns.vendor_lists import Reader, find_connection, integration_of, read_live
from gateway.flows.services import Services
from gateway.sdk.mapping import Locality
from gateway.storage import accounts, campaigns, connections
from gateway.storage.campaigns import CampaignRow, SetupRow
from gateway.storage.connections import ConnectionRow
from gateway.storage.engine import AsyncConnection
from gateway_schemas.campaign import Setup, SetupInput
from gateway_schemas.manifest import Manifest, Role
from gateway_schemas.problem import FieldProblem


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What a setup is judged in."""

    campaign: CampaignRow
    connection: ConnectionRow
    manifest: Manifest
    locality: Locality


async def save(
    services: Services, account_id: str, campaign_id: str, role: Role, given: SetupInput, *, seen: str | None = None
) -> tuple[Setup, bool]:
    """Check a setup against the manifest and the vendor's live lists, store it, and let go what waited for it.

    Args:
        services: The process's services.
        account_id: Whose campaign.
        campaign_id: Which.
        role: Whose signups.
        given: What to save.
        seen: Mark (``storage.campaigns.mark_of``) of the body that it takes the place of; ``None``: of whichever.

    Returns:
        The setup, and whether it is new.

    Raises:
        Refused: There is no campaign or no active connection, or fields are wrong (each is named), or
            ``changed_meanwhile``.
        PluginError: The vendor could not be read now; nothing was saved.
    """
    context = await find_context(services, account_id, campaign_id, given.connection)
    checked = await judge(services, context, role, given, Reader(services, context.connection, live=True))
    if checked.problems:
        raise invalid(*(FieldProblem(field=one.field, message=one.message, code=one.code) for one in checked.problems))
    now = services.clock.now()
    row = SetupRow(
        id=campaigns.new_setup_id(),
        account_id=account_id,
        campaign_id=campaign_id,
        role=role,
        connection_id=context.connection.id,
        integration=context.connection.integration,
        identity=context.connection.identity or "",
        body=msgspec.structs.replace(checked.body, connection=None),
        resolved=checked.resolved,
        state="ready",
        problems=[],
        updated_at=now,
    )

    async def write(conn: AsyncConnection) -> tuple[SetupRow, bool]:
        still = await connections.get(conn, row.connection_id)
        if still is None or still.state != "active":
            raise Refused(
                "not_connected", "The connection ended while the setup was checked; connect again, then save."
            )
        if seen is not None:
            before = await campaigns.setup(conn, row.connection_id, campaign_id, role)
            locked = None if before is None else await campaigns.lock_setup(conn, before.id)
            if campaigns.mark_of(None if locked is None else locked.body) != seen:
                raise changed_meanwhile()
        saved = await campaigns.save_setup(conn, row)
        await attention.release(conn, saved, now)
        return saved, saved.id == row.id

    saved, made = await services.database.writer.run(write)
    return shown(saved), made


async def find(services: Services, account_id: str, campaign_id: str, role: Role, connection_id: str | None) -> Setup:
    """Return a setup.

    Raises:
        Refused: There is none.
    """
    return shown(await find_row(services, account_id, campaign_id, role, connection_id))


async def remove(services: Services, account_id: str, campaign_id: str, role: Role, connection_id: str | None) -> None:
    """Delete a setup; signups that come, and those that wait, are held until there is one again.

    Raises:
        Refused: There is none.
    """
    row = await find_row(services, account_id, campaign_id, role, connection_id)
    now = services.clock.now()

    async def write(conn: AsyncConnection) -> None:
        await campaigns.delete_setup(conn, row.id)
        await attention.release_tasks(conn, row, now)

    await services.database.writer.run(write)


async def find_row(
    services: Services, account_id: str, campaign_id: str, role: Role, connection_id: str | None
) -> SetupRow:
    """Return the setup of the given connection, else of the connected CRM, else the one saved last.

    Raises:
        Refused: There is none.
    """
    async with services.database.read() as conn:
        refuse_unknown(await campaigns.get(conn, account_id, campaign_id), campaign_id)
        found = await campaigns.setups_of_campaign(conn, account_id, campaign_id)
        connected = await connections.open_crm(conn, account_id) if connection_id is None else None
    mine = [row for row in found if row.role == role and connection_id in (None, row.connection_id)]
    first = [row for row in mine if connected is not None and row.connection_id == connected.id] or mine
    if not first:
        raise Refused(
            "not_found", f"The campaign {campaign_id!r} has no setup for the role {role} yet; save one with PUT."
        )
    return first[0]


async def find_context(services: Services, account_id: str, campaign_id: str, connection_id: str | None) -> Context:
    """Return the campaign and the connection that a setup is for.

    Raises:
        Refused: One of them is missing, or the integration has nothing to set up.
    """
    async with services.database.read() as conn:
        campaign = refuse_unknown(await campaigns.get(conn, account_id, campaign_id), campaign_id)
        account = await accounts.get(conn, account_id)
        connection = await find_connection(conn, account_id, connection_id)
    manifest = integration_of(services, connection).manifest
    if not manifest.targets:
        raise Refused("not_supported", f"{manifest.name} writes no signups; there is nothing to set up per campaign.")
    assert account is not None
    return Context(campaign=campaign, connection=connection, manifest=manifest, locality=locality_of(account))


async def judge(services: Services, context: Context, role: Role, body: SetupInput, reader: Reader) -> Checked:
    """Check a setup with the lists that the reader gives.

    Raises:
        PluginError: They could not be read.
    """
    live = await read_live(reader, needs(context.manifest, role, body))
    return check(context.manifest, context.campaign, role, body, live, context.locality)


def shown(row: SetupRow) -> Setup:
    """Return the setup as the API shows it."""
    body = row.body
    return Setup(
        connection=row.connection_id,
        campaign=row.campaign_id,
        role=row.role,
        state=row.state,
        target=body.target,
        target_options=body.target_options,
        mapping=body.mapping,
        defaults=body.defaults,
        referrer_fields=body.referrer_fields,
        duplicates=body.duplicates or "",
        qualification=body.qualification,
        sale_value=body.sale_value,
        problems=row.problems,
        updated_at=row.updated_at,
        warnings=row.resolved.warnings,
    )
