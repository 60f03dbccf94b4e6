"""Connect in stages: the tenant id first, then, after the operator's approval, the three values of the finalise form.

The vendor has no call that says whom a token belongs to. So the finalise checks go through one call that needs all
four values, and read the token itself, as a convenience: the vendor does not promise its claims.

Source: ``VENDOR.md``, chapters 2 (claims of the token) and 3 (finalise checks).
"""

import base64
import binascii
from typing import Any

import httpx
import msgspec

from gateway.sdk.connection import Connection
from gateway.sdk.errors import Misconfigured, PluginError, Problem, ReauthRequired, RecordGone, Rejected
from gateway_schemas.connection import Limitation, VendorAccount
from gateway_servicetitan.client import ServiceTitan
from gateway_servicetitan.errors import Forbidden, RefusedInput, classify
from gateway_servicetitan.manifest import OPTIONAL_SCOPES, REQUIRED_SCOPES

BY_HAND = [
    (
        "In ServiceTitan, go to Settings > Integrations > API Application Access and disconnect our app there; until "
        "then its client id and secret stay valid."
    ),
    (
        "All bookings, customers and jobs stay in ServiceTitan, and so does the booking provider tag; delete there "
        "what you no longer need."
    ),
    "The operator of this platform may remove your tenant from the app in ServiceTitan's developer portal.",
]


class Claims(msgspec.Struct, frozen=True):
    """What a token says of itself, where it can be read.

    Attributes:
        tenant: Whose it is.
        scope: What was allowed; a list here, one string in the token answer.
    """

    tenant: str | int | None = None
    scope: list[str] | str | None = None

    @property
    def scopes(self) -> list[str]:
        """The granted scopes; empty when the token does not say."""
        return self.scope.split() if isinstance(self.scope, str) else list(self.scope or [])


async def verify(connection: Connection, step: str) -> VendorAccount:
    """Prove what a step of the connect form gave.

    Args:
        connection: With the values of this form and those before it.
        step: ``tenant``, at which nothing can be proven yet; or ``finalise``.

    Raises:
        Rejected: Names the field of the form that is wrong, or the missing scope.
        Misconfigured: The app key is wrong, which only the operator can mend.
    """
    tenant = connection.credentials.get("tenant", "").strip()
    if step == "tenant":
        return VendorAccount(identity=tenant, name=f"ServiceTitan {tenant}")
    claims = await _proven(connection, tenant)
    missing = [scope for scope in REQUIRED_SCOPES if claims.scopes and scope not in claims.scopes]
    if missing:
        message = (
            f"The app may not do all that it needs: {', '.join(missing)}. Open Settings > Integrations > API "
            "Application Access in ServiceTitan, allow the app's newest version, then authorise again."
        )
        raise Rejected(message, [Problem(field=scope, message=message, code="missing_scope") for scope in missing])
    limitations = [limit for scope, limit in OPTIONAL_SCOPES.items() if claims.scopes and scope not in claims.scopes]
    currency, more = await _currency(connection)
    return VendorAccount(
        identity=tenant,
        name=f"ServiceTitan {tenant}",
        granted=sorted(claims.scopes),
        limitations=[*limitations, *more],
        currency=currency,
    )


async def disconnect(connection: Connection) -> dict[str, list[str]]:
    """Say what is to be done by hand: nothing of ours is registered at the vendor, and nothing can be revoked there."""
    del connection
    return {"removed": [], "by_hand": BY_HAND}


async def _proven(connection: Connection, tenant: str) -> Claims:
    """Run the finalise checks in their order and return what the token says.

    One call needs all values: the token is asked for first, then the booking provider's list.
    """
    seen: list[httpx.Response] = []

    def reading(response: httpx.Response) -> PluginError | None:
        seen.append(response)
        return classify(response)

    client = ServiceTitan(connection, reading)
    path = f"booking-provider/{client.provider}/bookings"
    failure: PluginError | None = None
    try:
        seen.append(await client.send("GET", "crm", path, params={"page": 1, "pageSize": 1}))
    except (ReauthRequired, Forbidden, RecordGone, RefusedInput) as refused:
        failure = refused
    claims = _claims(seen[-1].request) if seen else Claims()
    if not seen:  # no token was given: nothing else was asked
        raise _wrong(
            "ServiceTitan refused these credentials. Copy both again from API Application Access, without blanks; a "
            "secret is shown only once, so generate another if in doubt. They differ between ServiceTitan's "
            "production and integration environments.",
            "client_id",
            "client_secret",
        ) from failure
    if claims.tenant is not None and str(claims.tenant) != tenant:
        raise _wrong(
            f"These credentials belong to another ServiceTitan tenant, not to {tenant}. Copy those of that tenant, or "
            "disconnect and begin again with the other Tenant ID.",
            "client_id",
        ) from failure
    if isinstance(failure, ReauthRequired):
        message = f"ServiceTitan gave a token and then refused it: {failure} The app key may not fit the environment."
        raise Misconfigured(message) from failure
    if failure is not None:
        scoped = not claims.scopes or set(REQUIRED_SCOPES) <= set(claims.scopes)
        if isinstance(failure, Forbidden) and not scoped:
            return claims  # the caller names the missing scopes
        raise _wrong(
            "ServiceTitan does not accept this booking provider value. Copy the allowed booking_provider value from "
            f"API Application Access, with Edit beside our app. What ServiceTitan says: {failure}",
            "booking_provider",
        ) from failure
    return claims


async def _currency(connection: Connection) -> tuple[str | None, list[Limitation]]:
    """Return the currency in which all business units trade; unknown when they differ or say none."""
    try:
        units = await ServiceTitan(connection).business_units()
    except Rejected:
        return None, []
    currencies = {one.currency for one in units if one.currency}
    if len(currencies) > 1:
        message = (
            f"The business units trade in several currencies ({', '.join(sorted(currencies))}), and jobs and invoices "
            "name none: sale values are taken in the account's currency."
        )
        return None, [Limitation(code="several_currencies", message=message)]
    return next(iter(currencies), None), []


def _claims(request: httpx.Request) -> Claims:
    """Read the token that a call carried; one that cannot be read says nothing."""
    token = request.headers.get("authorization", "").rpartition(" ")[2]
    parts = token.split(".")
    if len(parts) != 3:
        return Claims()
    try:
        raw: Any = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        return msgspec.json.decode(raw, type=Claims)
    except (binascii.Error, ValueError, msgspec.DecodeError):
        return Claims()


def _wrong(message: str, *fields: str) -> Rejected:
    return Rejected(message, [Problem(field=f"values.{one}", message=message, code="refused") for one in fields])
