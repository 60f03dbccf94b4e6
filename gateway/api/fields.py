"""``/v1/connections/{connection}/fields`` and ``…/options``: what pickers offer."""

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from gateway.api.auth import Caller
from gateway.errors import not_found
from gateway.flows.campaigns import vendor_lists as flow
from gateway.flows.services import Services
from gateway.storage import connections
from gateway.storage.connections import ConnectionRow
from gateway_schemas.records import Field, FieldInput, FieldList, OptionList

TAGS = ["connections"]


@get("/v1/connections/{connection:str}/fields/{record_kind:str}", tags=TAGS, opt={"scope": "read"})
async def list_fields(
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    connection: FromPath[str],
    record_kind: FromPath[str],
    refresh: FromQuery[bool] = False,
) -> FieldList:
    """Return every field of a record kind; ``refresh`` asks the vendor now."""
    row = await _row(caller, services, connection, "read")
    return await flow.Reader(services, row, refresh=refresh).fields(record_kind)


@post("/v1/connections/{connection:str}/fields/{record_kind:str}", tags=TAGS, opt={"scope": "manage"})
async def create_field(
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    connection: FromPath[str],
    record_kind: FromPath[str],
    data: JSONBody[FieldInput],
) -> Response[Field]:
    """Make a custom field at the vendor (201), or return the one that has this label and type already (200)."""
    row = await _row(caller, services, connection, "manage")
    field, made = await flow.create_field(services, row, record_kind, data)
    return Response(field, status_code=201 if made else 200)


@get("/v1/connections/{connection:str}/options/{source:str}", tags=TAGS, opt={"scope": "read"})
async def list_options(
    caller: NamedDependency[Caller],
    services: NamedDependency[Services],
    connection: FromPath[str],
    source: FromPath[str],
    parent: FromQuery[str | None] = None,
    refresh: FromQuery[bool] = False,
) -> OptionList:
    """Return the options of a source, of one ``parent`` option where given; ``refresh`` asks the vendor now."""
    row = await _row(caller, services, connection, "read")
    return await flow.Reader(services, row, refresh=refresh).options(source, parent)


async def _row(caller: Caller, services: Services, connection_id: str, scope: str) -> ConnectionRow:
    async with services.database.read() as conn:
        row = await connections.get(conn, connection_id)
    if row is None or not caller.sees(row.account_id):
        raise not_found("connection", connection_id)
    caller.require(row.account_id, scope)
    return row


ROUTES = [list_fields, create_field, list_options]
