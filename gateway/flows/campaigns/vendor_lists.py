"""Fields and options of a connection for pickers and validation: kept for ten minutes, or read anew on demand.

While the vendor cannot be read, people get the list as it was last seen, with its age; validation asks for a live one.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

import msgspec

from gateway.errors import Refused, invalid, not_found
from gateway.flows.campaigns.setup_checks import Live, Needs, Source
from gateway.flows.connections.opening import open_connection
from gateway.flows.connections.reauth import mark_needs_reauth
from gateway.flows.services import Services
from gateway.plugins import Integration
from gateway.sdk.connection import Connection
from gateway.sdk.errors import OutcomeUnknown, PluginError, ReauthRequired, RecordGone, Rejected, RetryLater
from gateway.storage import connections, vendor_lists
from gateway.storage.connections import ConnectionRow
from gateway.storage.engine import AsyncConnection
from gateway.storage.running import TaskRun
from gateway_schemas.manifest import Manifest
from gateway_schemas.problem import FieldProblem
from gateway_schemas.records import Field, FieldInput, FieldList, NewField, Option, OptionList

MAX_AGE = timedelta(minutes=10)
"""The vendor puts no time on its fields, so a list is read again when it is this old."""

TIMEOUT_SECONDS = 25.0
T = TypeVar("T", Field, Option)
R = TypeVar("R")


class Reader:
    """Reads the lists of one connection, each at most once.

    Args:
        services: What every flow is given.
        row: The connection.
        refresh: Ask the vendor even when a list is young.
        live: Fail rather than give a list that the vendor cannot confirm now.
        keep: Store what was read.
        run: The task that reads; ``None``: a person waits.
    """

    def __init__(
        self,
        services: Services,
        row: ConnectionRow,
        *,
        refresh: bool = False,
        live: bool = False,
        keep: bool = True,
        run: TaskRun | None = None,
    ) -> None:
        self._services = services
        self._row = row
        self._refresh = refresh
        self._live = live
        self._keep = keep
        self._run = run
        self._integration = integration_of(services, row)
        self._connection: Connection | None = None
        self._seen: dict[tuple[str, str], tuple[list[Any], datetime, bool]] = {}

    async def fields(self, record_kind: str) -> FieldList:
        """Return the fields of a record kind.

        Raises:
            Refused: The integration has no such record kind, or the connection is not active and nothing was kept.
            PluginError: The vendor could not be read and nothing was kept.
        """
        check_kind(self._integration.manifest, record_kind)
        self._require("list_fields")

        async def read(connection: Connection) -> list[Field]:
            return await self._integration.hooks.list_fields(connection=connection, record_kind=record_kind)

        data, read_at, stale = await self._list(Field, f"fields:{record_kind}", "", read)
        return FieldList(data=data, read_at=read_at, stale=stale)

    async def options(self, source: str, parent: str | None = None) -> OptionList:
        """Return the options of a source, of one parent option where ``parent`` is given.

        Raises:
            Refused: The integration has no such source, or the connection is not active and nothing was kept.
            PluginError: The vendor could not be read and nothing was kept.
        """
        known = {one.key: one for one in self._integration.manifest.option_sources}
        if source not in known:
            raise Refused("not_found", _there_are("option source", source, self._integration.manifest.name, known))
        if parent is not None and known[source].parent is None:
            raise invalid(
                FieldProblem(field="parent", message=f"{known[source].label} belong to nothing; leave it out.")
            )
        self._require("list_options")

        async def read(connection: Connection) -> list[Option]:
            return await self._integration.hooks.list_options(connection=connection, source=source, parent=parent)

        data, read_at, stale = await self._list(Option, f"options:{source}", parent or "", read)
        return OptionList(data=data, read_at=read_at, stale=stale)

    def _require(self, hook: str) -> None:
        if not self._integration.has(hook):
            raise Refused("not_supported", f"{self._integration.manifest.name} has no fields to choose from.")

    async def _list(
        self, struct: type[T], source: str, parent: str, read: Callable[[Connection], Awaitable[list[T]]]
    ) -> tuple[list[T], datetime, bool]:
        if (source, parent) not in self._seen:
            self._seen[source, parent] = await self._find(struct, source, parent, read)
        return self._seen[source, parent]

    async def _find(
        self, struct: type[T], source: str, parent: str, read: Callable[[Connection], Awaitable[list[T]]]
    ) -> tuple[list[T], datetime, bool]:
        async with self._services.database.read() as conn:
            kept = await vendor_lists.get(conn, self._row.id, source, parent)
        now = self._services.clock.now()
        if kept is not None and not self._refresh and not self._live and now - kept.read_at < MAX_AGE:
            return msgspec.convert(kept.body, list[struct]), kept.read_at, False  # type: ignore[valid-type] # msgspec reads the class
        try:
            found = await self.ask(read)
        except (RetryLater, OutcomeUnknown, ReauthRequired, Refused):
            if kept is None or self._live:
                raise
            return msgspec.convert(kept.body, list[struct]), kept.read_at, True  # type: ignore[valid-type] # as above
        if self._keep:

            async def keep(conn: AsyncConnection) -> None:
                await vendor_lists.put(conn, self._row.id, source, parent, found, now)

            await self._services.database.writer.run(keep)
        return found, now, False

    async def ask(self, call: Callable[[Connection], Awaitable[Any]]) -> Any:
        """Make one hook call over the connection, which is opened once.

        Raises:
            Refused: The connection is not active.
            PluginError: As the plugin raised it; refused credentials are noted first.
        """
        refuse_inactive(self._row)
        left = TIMEOUT_SECONDS if self._run is None else min(TIMEOUT_SECONDS, self._run.seconds_left)
        if self._connection is None:
            self._connection = await open_connection(
                self._services, self._row, run=self._run, person_waits=self._run is None
            )
        made = self._integration.call(call(self._connection), timeout_seconds=left)
        return await noting_reauth(self._services, self._row, made)


async def read_live(reader: Reader, asked: Needs) -> Live:
    """Read the lists that a check of a setup needs."""
    fields = {kind: (await reader.fields(kind)).data for kind in sorted(asked.kinds)}
    options: dict[Source, list[Option]] = {}
    for source, parent in sorted(asked.options, key=str):
        try:
            options[source, parent] = (await reader.options(source, parent)).data
        except (RecordGone, Rejected):  # the parent is not there (any more): nothing is below it
            options[source, parent] = []
    return Live(fields=fields, options=options)


async def create_field(
    services: Services, row: ConnectionRow, record_kind: str, given: FieldInput
) -> tuple[Field, bool]:
    """Make a custom field at the vendor, or return the one that has this label already: asking twice makes one.

    Returns:
        The field, and whether it was made now.

    Raises:
        Refused: The integration cannot, or a field of this label has another type.
        Rejected: The vendor refused; its words say why.
    """
    integration = integration_of(services, row)
    check_kind(integration.manifest, record_kind)
    if not integration.has("create_field"):
        raise Refused("not_supported", f"{integration.manifest.name} takes no new fields; make it there and refresh.")
    has_options = given.type in ("option", "options")
    if given.type == "other":
        raise invalid(FieldProblem(field="type", message="A field of kind other cannot be written."))
    if has_options != bool(given.options):
        message = "An option field needs options." if has_options else f"A {given.type} field has no options."
        raise invalid(FieldProblem(field="options", message=message))
    reader = Reader(services, row, live=True)
    wanted = given.label.strip().casefold()
    same = [
        one for one in (await reader.fields(record_kind)).data if one.custom and one.label.strip().casefold() == wanted
    ]
    # a vendor without a type of its own for links, say, keeps them as text
    if fitting := [one for one in same if one.type in (given.type, "text", "long_text")]:
        return fitting[0], False
    if same:
        message = f"There is a custom field of this label already, of type {same[0].type}; use it, or another label."
        raise invalid(FieldProblem(field="label", message=message, code="duplicate"))
    new = NewField(label=given.label.strip(), type=given.type, options=given.options)

    async def create(connection: Connection) -> Field:
        return await integration.hooks.create_field(connection=connection, record_kind=record_kind, field=new)

    try:
        made: Field = await reader.ask(create)
    finally:
        # record kinds may share their custom fields, and a lost answer may have made it: all are read anew

        async def forget(conn: AsyncConnection) -> None:
            await vendor_lists.forget(conn, row.id, "fields:")

        await services.database.writer.run(forget)
    return made, True


def integration_of(services: Services, row: ConnectionRow) -> Integration:
    """Return the connection's integration.

    Raises:
        Refused: It is not installed, or cannot be used.
    """
    integration = services.integrations.get(row.integration)
    if integration is None:
        raise Refused("integration_unavailable", f"The integration {row.integration!r} is not installed here any more.")
    return integration


async def find_connection(conn: AsyncConnection, account_id: str, connection_id: str | None) -> ConnectionRow:
    """Return the given connection of an account, else its CRM.

    Raises:
        Refused: There is none, or it is not active.
    """
    if connection_id is None:
        found = await connections.open_crm(conn, account_id)
        if found is None:
            raise Refused("not_connected", "No CRM is connected to this account; connect one first.")
    else:
        found = await connections.by_id_for_account(conn, account_id, connection_id)
        if found is None:
            raise not_found("connection", connection_id)
    refuse_inactive(found)
    return found


def refuse_inactive(row: ConnectionRow) -> None:
    """Refuse to call the vendor over a connection that is not active, and say what to do."""
    if row.state == "needs_reauth":
        raise Refused("needs_reauth", "The vendor refused the credentials; authorise the connection again.")
    if row.state != "active":
        raise Refused("not_connected", f"The connection {row.id} is {row.state}, not active; finish connecting first.")


def check_kind(manifest: Manifest, record_kind: str) -> None:
    """Refuse a record kind that the integration does not have, naming those that it has.

    Raises:
        Refused: As said.
    """
    known = [one.key for one in manifest.record_kinds]
    if record_kind not in known:
        raise Refused("not_found", _there_are("record kind", record_kind, manifest.name, known))


async def noting_reauth(services: Services, row: ConnectionRow, call: Awaitable[R]) -> R:
    """Await a hook call; that the vendor refused the credentials is noted before it is raised."""
    try:
        return await call
    except ReauthRequired as error:
        await note_reauth(services, row, error)
        raise


async def note_reauth(services: Services, row: ConnectionRow, error: PluginError) -> None:
    """Write down that the vendor refused the credentials; the host is told."""
    now = services.clock.now()

    async def mark(conn: AsyncConnection) -> None:
        await mark_needs_reauth(conn, row, str(error), now)

    await services.database.writer.run(mark)


def _there_are(what: str, asked: str, name: str, known: Sequence[str] | dict[str, Any]) -> str:
    return f"{name} has no {what} {asked!r}; there are: {', '.join(known) or 'none'}."
