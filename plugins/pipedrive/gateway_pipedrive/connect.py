"""Say whom a connection is connected as, and clean up when it ends."""

from gateway.sdk.connection import Connection
from gateway.sdk.errors import Problem, Rejected
from gateway_pipedrive.client import Pipedrive
from gateway_pipedrive.manifest import OPTIONAL_SCOPES, REQUIRED_SCOPES
from gateway_pipedrive.models import Me
from gateway_pipedrive.webhooks import try_remove
from gateway_schemas.connection import Limitation, VendorAccount


async def verify(connection: Connection) -> VendorAccount:
    """Return the company, the user and what they cannot do.

    Raises:
        Rejected: A scope is missing without which nothing works; it names each.
    """
    missing = [scope for scope in REQUIRED_SCOPES if connection.granted and scope not in connection.granted]
    if missing:
        message = (
            f"Pipedrive did not grant {', '.join(missing)}. Scopes are set on the app in Developer Hub: add them "
            "there, then connect again."
        )
        raise Rejected(message, [Problem(field=scope, message=message, code="missing_scope") for scope in missing])
    me = await Pipedrive(connection).me()
    limitations = [
        limit for scope, limit in OPTIONAL_SCOPES.items() if connection.granted and scope not in connection.granted
    ]
    if not _is_admin(me):
        message = (
            "The connected user is no administrator: records that this user may not see are neither read nor reported."
        )
        limitations.append(Limitation(code="not_admin", message=message))
    properties = {"company_domain": me.company_domain, "timezone": me.timezone_name, "user_name": me.name}
    return VendorAccount(
        identity=str(me.company_id),
        name=me.company_name,
        user=str(me.id),
        granted=sorted(connection.granted),
        limitations=limitations,
        currency=me.default_currency,
        properties={**connection.properties, **{key: value for key, value in properties.items() if value}},
    )


async def disconnect(connection: Connection) -> dict[str, list[str]]:
    """Remove what we registered; contacts, leads, deals and custom fields stay as they are."""
    removed, by_hand = await try_remove(connection)
    by_hand += [
        "All records and the custom fields for referrals stay in Pipedrive; delete there what you no longer need.",
        "If the app is still listed under Tools and apps in Pipedrive, uninstall it there.",
    ]
    return {"removed": removed, "by_hand": by_hand}


def _is_admin(me: Me) -> bool:
    """Say whether the user is an administrator of sales or of the whole company; unknown counts as yes."""
    return not me.access or any(one.get("admin") and one.get("app") in ("sales", "global") for one in me.access)
