"""Lists to choose from: campaigns, business units, job types, priorities, statuses; pulled live from the account."""

from gateway.sdk.connection import Connection
from gateway.sdk.errors import NotSupported
from gateway_schemas.records import Option
from gateway_servicetitan.client import ServiceTitan
from gateway_servicetitan.errors import Forbidden
from gateway_servicetitan.triggers import JOB_STATUSES

PRIORITIES = [Option(value=word, label=word) for word in ("Low", "Normal", "High", "Urgent")]
CUSTOMER_TYPES = [Option(value=word, label=word) for word in ("Residential", "Commercial")]


async def list_options(connection: Connection, source: str, parent: str | None) -> list[Option]:
    """Return the options of one source; inactive ones are left out.

    Args:
        connection: An active connection.
        source: Key of an option source of the manifest.
        parent: For job types: the business unit's id; those that belong to every unit are among them.

    Raises:
        NotSupported: There is no such source, or a scope is missing for it.
    """
    client = ServiceTitan(connection)
    try:
        match source:
            case "job_statuses":
                return JOB_STATUSES
            case "priorities":
                return PRIORITIES
            case "campaigns":
                return _sorted([Option(value=str(one.id), label=one.name or "") for one in await client.campaigns()])
            case "business_units":
                units = await client.business_units()
                return _sorted([Option(value=str(one.id), label=one.name or "") for one in units])
            case "job_types":
                return _sorted(
                    [
                        Option(value=str(one.id), label=one.name or "", parent=parent and unit)
                        for one in await client.job_types()
                        for unit in [parent if not one.business_unit_ids else _among(one.business_unit_ids, parent)]
                        if parent is None or unit is not None
                    ]
                )
    except Forbidden as refused:
        raise NotSupported(f"ServiceTitan does not show this list: {refused}") from refused
    raise NotSupported(f"ServiceTitan has no list {source!r}")


def _among(units: list[int], wanted: str | None) -> str | None:
    return wanted if wanted in {str(one) for one in units} else None


def _sorted(options: list[Option]) -> list[Option]:
    """Order by name: the vendor's own order is none that people know."""
    return sorted(options, key=lambda one: (one.label.casefold(), one.value))
