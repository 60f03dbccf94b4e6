"""``gateway doctor``: say what is missing in the settings and what needs a person."""

import asyncio
import base64
import os
import secrets
from collections.abc import Iterator
from typing import NamedTuple

import click

from gateway.flows.connections.app_calls import app_url
from gateway.plugins import Registry, discover
from gateway.sdk.clock import Clock
from gateway.settings import Settings, SettingsError, load
from gateway.storage import migrate, overview
from gateway.storage.engine import Database, DatabaseMisconfigured
from gateway.storage.vault import Vault, VaultError
from gateway_schemas.manifest import Manifest, OAuth2


class Finding(NamedTuple):
    """One line of the report."""

    level: str
    text: str


@click.command()
def doctor() -> None:
    """Check settings, integrations and the database; exits with 1 when something must be mended."""
    findings = list(_settings())
    registry = discover().configure()
    findings += _integrations(registry)
    findings += asyncio.run(_database(registry))
    colours = {"ok": "green", "note": "yellow", "mend": "red"}
    for level, text in findings:
        click.echo(click.style(f"{level:<5}", fg=colours[level]) + text)
    raise SystemExit(1 if any(level == "mend" for level, _ in findings) else 0)


def _settings() -> Iterator[Finding]:
    try:
        settings = load(Settings)
    except SettingsError as error:
        yield Finding("mend", str(error))
        return
    if not settings.host_keys:
        yield Finding(
            "mend", f"GATEWAY_HOST_KEYS is not set: nobody can call the API. A good one: {secrets.token_urlsafe(32)}"
        )
    if not settings.secret_keys:
        fresh = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
        yield Finding("mend", f"GATEWAY_SECRET_KEYS is not set: credentials cannot be stored. A good one: k1:{fresh}")
    if settings.public_url.startswith("http://"):
        yield Finding("note", f"GATEWAY_PUBLIC_URL is {settings.public_url}: vendors call back over https only")
    if settings.database_url.startswith("sqlite"):
        yield Finding(
            "note", "SQLite: correct with several processes of one machine on a local disk; speed needs PostgreSQL"
        )
    if settings.allow_local_targets:
        yield Finding("note", "GATEWAY_ALLOW_LOCAL_TARGETS is on: for development only")
    for name, value, choices in (
        ("LOG_FORMAT", settings.log_format, ("json", "console")),
        ("LOG_LEVEL", settings.log_level.lower(), ("debug", "info", "warning", "error")),
    ):
        if value not in choices:
            yield Finding("mend", f"GATEWAY_{name} is {value!r}; use one of: {', '.join(choices)}")
    if not settings.support_contact:
        yield Finding("note", "GATEWAY_SUPPORT_CONTACT is not set: people who wait are told nobody to turn to")
    known = {f"GATEWAY_{name.upper()}" for name in Settings.__struct_fields__}
    prefixes = tuple(f"GATEWAY_{one.key.upper()}_" for one in discover())
    for name in sorted(os.environ):
        if name.startswith("GATEWAY_") and name not in known and not name.startswith((*prefixes, "GATEWAY_TEST_")):
            yield Finding("note", f"{name} is set, but no setting has that name")


def _integrations(registry: Registry) -> Iterator[Finding]:
    for one in registry:
        if one.settings_error is None:
            yield Finding("ok", f"integration {one.key}: {one.manifest.name}, {one.distribution} {one.version}")
        elif any(name.startswith(f"GATEWAY_{one.key.upper()}_") for name in os.environ):
            yield Finding("mend", f"integration {one.key}: {one.settings_error}")
        else:
            yield Finding("note", f"integration {one.key} is installed and not set up: {one.settings_error}")
    for broken in registry.quarantined:
        yield Finding("mend", f"integration {broken.key} is quarantined: {broken.reason}")


async def _database(registry: Registry) -> list[Finding]:
    try:
        settings = load(Settings)
        database = await Database.open(settings.database_url, Clock())
    except (SettingsError, DatabaseMisconfigured) as error:
        return [Finding("mend", str(error))]
    except Exception as error:  # noqa: BLE001 - every driver has errors of its own; the sentence is what helps
        return [Finding("mend", f"the database cannot be opened: {error}")]
    try:
        await migrate.check(database)
        async with database.read() as conn:
            if settings.secret_keys:
                await Vault(settings.secret_keys).check(conn)
            counts = await overview.counts(conn, Clock().now())
        urls = await _app_urls(settings, database, registry)
    except (SettingsError, VaultError) as error:
        return [Finding("mend", str(error))]
    except migrate.SchemaMismatch as error:
        if database.dialect == "sqlite" and await migrate.current(settings.database_url) is None:
            return [Finding("note", "the database is empty: `gateway serve` sets it up at its first start")]
        return [Finding("mend", str(error))]
    finally:
        await database.close()
    found = [Finding("ok", f"database: {database.dialect}, schema {migrate.head()}"), *urls]
    parked, held = counts["tasks_parked"][2][""], counts["lanes_held"][2][""]
    if parked:
        found.append(
            Finding("note", f"{parked:.0f} tasks are parked: see *A signup is parked* in docs/troubleshooting.md")
        )
    if held:
        found.append(Finding("note", f"{held:.0f} vendor tenants are held: a connection must be authorised again"))
    return found


async def _app_urls(settings: Settings, database: Database, registry: Registry) -> list[Finding]:
    """Say which URL the operator gives to vendors that call us for all customers at one address."""
    called = [
        one
        for one in registry
        if one.has("verify_app_call") and one.settings_error is None and not _knows_our_callback(one.manifest)
    ]
    if not called or not settings.secret_keys:
        return []
    vault = Vault(settings.secret_keys)
    await vault.load(database)
    return [
        Finding("note", f"set up at {one.manifest.name}, for webhooks: {app_url(settings.public_url, vault, one.key)}")
        for one in called
    ]


def _knows_our_callback(manifest: Manifest) -> bool:
    """Say whether the vendor calls the OAuth callback instead, which is set on the app already."""
    return isinstance(manifest.auth, OAuth2) and manifest.auth.uninstall_by_callback
