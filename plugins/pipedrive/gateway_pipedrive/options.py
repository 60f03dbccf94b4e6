"""Lists to choose from: pipelines, stages, saved filters, users, currencies."""

from gateway.sdk.connection import Connection
from gateway.sdk.errors import NotSupported
from gateway_pipedrive.client import Pipedrive
from gateway_schemas.records import Option


async def list_options(connection: Connection, source: str, parent: str | None) -> list[Option]:
    """Return the options of one source; deleted, inactive and temporary ones are left out.

    Args:
        connection: An active connection.
        source: Key of an option source of the manifest.
        parent: For stages: the pipeline's id; ``None``: the stages of all pipelines.

    Raises:
        NotSupported: There is no such source, or a scope is missing for it.
    """
    client = Pipedrive(connection)
    match source:
        case "pipelines":
            pipelines = sorted(await client.pipelines(), key=lambda one: (one.order_nr, one.id))
            return [Option(value=str(one.id), label=one.name) for one in pipelines if not one.is_deleted]
        case "stages":
            stages = sorted(await client.stages(parent), key=lambda one: (one.pipeline_id, one.order_nr, one.id))
            return [
                Option(value=str(one.id), label=one.name, parent=str(one.pipeline_id), rank=one.order_nr)
                for one in stages
                if not one.is_deleted
            ]
        case "filters":
            filters = await client.people_filters()
            return [
                Option(value=str(one.id), label=one.name)
                for one in filters
                if one.active_flag and not one.temporary_flag
            ]
        case "users":
            if connection.granted and "users:read" not in connection.granted:
                raise NotSupported("Owners cannot be listed: the scope “users:read” was not granted")
            return [Option(value=str(one.id), label=one.name) for one in await client.users() if one.active_flag]
        case "currencies":
            return [Option(value=one.code, label=one.name) for one in await client.currencies() if one.active_flag]
    raise NotSupported(f"Pipedrive has no list {source!r}")
