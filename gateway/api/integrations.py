"""``/v1/integrations``: the catalogue of what can be connected."""

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath

from gateway.api.auth import Caller
from gateway.errors import Refused
from gateway.flows.services import Services
from gateway_schemas.manifest import CatalogueEntry

TAGS = ["integrations"]


@get("/v1/integrations", tags=TAGS)
async def list_integrations(
    caller: NamedDependency[Caller], services: NamedDependency[Services]
) -> list[CatalogueEntry]:
    """Return every integration with its manifest; a host key also sees those that cannot be used, and why."""
    return [entry for entry in _entries(services) if entry.usable or caller.kind == "host"]


@get("/v1/integrations/{integration:str}", tags=TAGS)
async def get_integration(
    caller: NamedDependency[Caller], services: NamedDependency[Services], integration: FromPath[str]
) -> CatalogueEntry:
    """Return one integration with its manifest."""
    for entry in _entries(services):
        if entry.key == integration and (entry.usable or caller.kind == "host"):
            return entry
    raise Refused("unknown_integration", f"No integration {integration!r} is installed here.")


def _entries(services: NamedDependency[Services]) -> list[CatalogueEntry]:
    usable = [
        CatalogueEntry(
            key=one.key,
            usable=one.settings_error is None,
            problem=one.settings_error,
            version=one.version,
            capabilities=sorted(one.capabilities),
            manifest=one.manifest,
        )
        for one in services.integrations
    ]
    broken = [
        CatalogueEntry(key=one.key, usable=False, problem=one.reason, version="", capabilities=[], manifest=None)
        for one in services.integrations.quarantined
    ]
    return [*usable, *broken]


ROUTES = [list_integrations, get_integration]
