"""Who calls: a host key, an account key or a console session, and what it may do.

Wrong or missing key: 401. Missing scope: 403. A resource of another account: 404, as if it were not there.
"""

import re
from typing import Any, Literal

import msgspec
from litestar import Request
from litestar.di import NamedDependency

from gateway.errors import Refused, invalid, not_found
from gateway.flows.access import authenticate
from gateway.flows.services import Services
from gateway_schemas.problem import FieldProblem

__all__ = ["Caller", "check_host_id", "provide_caller"]

_HOST_ID = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._~-]{1,128}")


class Caller(msgspec.Struct, frozen=True):
    """Who makes this request.

    Attributes:
        kind: ``host`` may do everything; ``account`` and ``session`` belong to one account.
        account_id: The account of a key or session; null for the host.
        scopes: What an account key or session may do.
    """

    kind: Literal["host", "account", "session"]
    account_id: str | None
    scopes: frozenset[str]

    def require(self, account_id: str, scope: str) -> None:
        """Go on if the caller may do this in this account.

        Args:
            account_id: The account that the request is about, as the path or the resource says.
            scope: What the request needs.

        Raises:
            Refused: ``not_found`` for another account, ``missing_scope``, ``invalid_input`` for an id that none can be.
        """
        if self.kind == "host":
            check_host_id("account", account_id)
            return
        if account_id != self.account_id:
            raise not_found("account", account_id)
        if scope not in self.scopes:
            has = ", ".join(sorted(self.scopes)) or "none"
            raise Refused("missing_scope", f"This needs the scope {scope!r}; the key has: {has}.")

    def require_host(self) -> None:
        """Go on if the caller is the host.

        Raises:
            Refused: ``host_key_required``.
        """
        if self.kind != "host":
            raise Refused("host_key_required", "Use a host key (GATEWAY_HOST_KEYS) for this.")

    def sees(self, account_id: str) -> bool:
        """Say whether resources of this account exist for the caller."""
        return self.kind == "host" or account_id == self.account_id


async def provide_caller(request: Request[Any, Any, Any], services: NamedDependency[Services]) -> Caller:
    """Return who makes this request (a Litestar dependency).

    Raises:
        Refused: ``unauthenticated``.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Refused("unauthenticated", "Send `Authorization: Bearer <key>`.")
    grant = await authenticate(services, token.strip())
    if grant is None:
        raise Refused("unauthenticated", "This key is wrong, was revoked, or its session has ended.")
    return Caller(grant.kind, grant.account_id, grant.scopes)


def check_host_id(field: str, value: str) -> None:
    """Go on if ``value`` can be an id of the host's own.

    Raises:
        Refused: ``invalid_input`` naming ``field``.
    """
    if not _HOST_ID.fullmatch(value):
        message = f"{value[:140]!r} is no valid id: 1 to 128 characters of A-Z a-z 0-9 . _ ~ - (not . or ..)"
        raise invalid(FieldProblem(field=field, message=message, code="invalid_id"))
