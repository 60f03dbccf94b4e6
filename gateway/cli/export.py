"""``gateway export-schemas``: write the published contract as JSON Schema and OpenAPI."""

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

import click
import msgspec

import gateway_schemas
from gateway.app import as_openapi, create_app, open_services
from gateway.plugins import Registry
from gateway.settings import Settings
from gateway.storage import migrate


@click.command(name="export-schemas")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path("schemas"))
@click.option("--check", "check_only", is_flag=True, help="Write nothing; exit with 1 when a file is out of date.")
def export_schemas(folder: Path, check_only: bool) -> None:
    """Write FOLDER/json/*.schema.json and FOLDER/openapi.json from the Structs and routes."""
    wanted = {folder / "json" / f"{name}.schema.json": document for name, document in json_schemas().items()}
    wanted[folder / "openapi.json"] = asyncio.run(openapi_document())
    stale = [path for path, document in wanted.items() if not path.exists() or path.read_text() != as_text(document)]
    stale += [path for path in (folder / "json").glob("*.schema.json") if path not in wanted]
    if check_only:
        for path in stale:
            click.echo(f"out of date: {path}")
        if not stale:
            click.echo(f"{len(wanted)} files, all up to date")
        raise SystemExit(1 if stale else 0)
    for path in stale:
        if path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(as_text(wanted[path]))
        else:
            path.unlink()
    click.echo(f"{len(wanted)} files, {len(stale)} changed")


def as_text(document: dict[str, Any]) -> str:
    """Return the committed form of a document: sorted, indented, with a final newline."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def json_schemas() -> dict[str, dict[str, Any]]:
    """Return one JSON Schema a module of the contract, with all its Structs under ``$defs``."""
    documents: dict[str, dict[str, Any]] = {}
    for name, structs in sorted(gateway_schemas.by_module().items()):
        _, components = msgspec.json.schema_components(structs, ref_template="#/$defs/{name}")
        documents[name] = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": f"https://referral-gateway.example/schemas/{name}.schema.json",
            "$defs": components,
        }
    return documents


async def openapi_document() -> dict[str, Any]:
    """Return the OpenAPI document of the gateway without any integration's own routes."""
    with tempfile.TemporaryDirectory() as scratch:
        settings = Settings(database_url=f"sqlite:///{scratch}/schema.db", secret_keys=["export:" + "A" * 43])
        await migrate.upgrade(settings.database_url)
        async with open_services(settings, integrations=Registry([])) as services:
            return as_openapi(create_app(services))
