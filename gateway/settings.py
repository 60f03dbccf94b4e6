"""Settings of the gateway, read from ``GATEWAY_*`` environment variables; a plugin's from ``GATEWAY_{KEY}_*``.

This module names no vendor: a plugin brings a Struct of its own, read by the same function.
"""

import os
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

S = TypeVar("S", bound=msgspec.Struct)


class SettingsError(Exception):
    """A setting is missing or wrong; the message names the variable and says what to do."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The gateway's own settings.

    Attributes:
        database_url: ``sqlite:///file.db`` or ``postgresql://user:password@host/name``.
        public_url: Base URL under which vendors and browsers reach the gateway, without a trailing slash.
        host_keys: Bearer keys of the host; two may be valid at once, for rotation. At least 32 characters each.
        secret_keys: Encryption keys, ``id:base64 of 32 bytes`` each; the first encrypts, all decrypt.
        support_contact: Where people turn to, shown in waits and errors.
        console_origins: Origins that may embed the console.
        allow_local_targets: Lets endpoints and vendor URLs be http and local; for development only.
        share_vendor_accounts: Lets two accounts connect to one vendor account.
        held_days: Held signups go out by themselves when the cause ends within so many days.
        approval_hours: How long the operator's approval of a connection takes, as it is told to the person who waits;
            the host is reminded once when it took longer.
        contact_index_hours: How long signups wait at most for a contact index that is being built.
        signup_reserve_percent: Share of a vendor's budgets that contact syncs leave to signups.
        retention_attempts_days: Bodies of attempts.
        retention_events_days: Events and deliveries.
        retention_tasks_days: Finished tasks.
        retention_keys_days: Idempotency keys.
        retention_contacts_days: Contact indexes of vendor accounts that are not connected any more.
        log_format: ``json`` or ``console``.
        log_level: Level of the log.
        workers: Tasks that this process runs at once.
    """

    database_url: str = "sqlite:///gateway.db"
    public_url: Annotated[str, Meta(pattern=r"^https?://[^\s]*[^/\s]$(?!\n)")] = "http://127.0.0.1:8000"
    host_keys: list[Annotated[str, Meta(min_length=32)]] = []
    secret_keys: list[Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,16}:[A-Za-z0-9+/_=-]{43,44}$(?!\n)")]] = []
    support_contact: str = ""
    console_origins: list[str] = []
    allow_local_targets: bool = False
    share_vendor_accounts: bool = False
    held_days: Annotated[int, Meta(ge=1, le=365)] = 30
    approval_hours: Annotated[float, Meta(gt=0, le=2_160)] = 24
    contact_index_hours: Annotated[float, Meta(ge=0, le=720)] = 12
    signup_reserve_percent: Annotated[int, Meta(ge=5, le=80)] = 20
    retention_attempts_days: Annotated[int, Meta(ge=1)] = 30
    retention_events_days: Annotated[int, Meta(ge=1)] = 90
    retention_tasks_days: Annotated[int, Meta(ge=1)] = 14
    retention_keys_days: Annotated[int, Meta(ge=1)] = 30
    retention_contacts_days: Annotated[int, Meta(ge=1)] = 30
    log_format: str = "json"
    log_level: str = "info"
    workers: Annotated[int, Meta(ge=1, le=256)] = 32


PREFIX = "GATEWAY_"

_WANTED = {
    "public_url": "expected http:// or https:// and a name, without a slash at the end",
    "host_keys": "expected keys of at least 32 characters, separated by commas",
    "secret_keys": "expected `id:base64 of 32 bytes`, separated by commas",
}
"""What is expected where a pattern would be shown otherwise."""


def load(struct: type[S], *, prefix: str = PREFIX, environ: Mapping[str, str] | None = None) -> S:
    """Read a settings Struct from the environment.

    Args:
        struct: A msgspec Struct whose fields name the variables in lower case.
        prefix: What the variables start with, for example ``GATEWAY_PIPEDRIVE_``.
        environ: The variables; default: the process's own.

    Raises:
        SettingsError: A value is missing or wrong; names the variable.
    """
    given = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(struct):
        raw = given.get(f"{prefix}{field.name.upper()}")
        if raw is None or raw == "":
            if field.required:
                raise SettingsError(f"{prefix}{field.name.upper()} is not set; see docs/settings.md")
            continue
        values[field.name] = [part.strip() for part in raw.split(",") if part.strip()] if _is_list(field.type) else raw
    try:
        return msgspec.convert(values, struct, strict=False)
    except msgspec.ValidationError as error:
        name = str(error).partition("`$.")[2].partition("`")[0].partition("[")[0]
        wanted = _WANTED.get(name) if struct is Settings else None
        reason = wanted or str(error).partition(" - at")[0]
        raise SettingsError(f"{prefix}{name.upper()} is wrong: {reason}; see docs/settings.md") from error


def _is_list(annotation: Any) -> bool:
    return getattr(annotation, "__origin__", None) is list
