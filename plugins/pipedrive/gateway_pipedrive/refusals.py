"""Say why the vendor refused values: is a field, option, stage or owner gone, or do the values not fit?

The lists are read anew, since the vendor's sentence is the only other witness (``VENDOR.md``, chapter 6.2: a
value for a deleted field makes the whole write fail).
"""

import asyncio
from collections.abc import Mapping
from weakref import WeakKeyDictionary

from gateway.sdk.errors import MappingBroken, PluginError
from gateway.sdk.http import VendorHttp
from gateway_pipedrive.client import Pipedrive
from gateway_pipedrive.errors import RefusedInput
from gateway_pipedrive.fields import BUILT_IN, custom_fields
from gateway_schemas.base import FieldValue
from gateway_schemas.records import Field


class _Lists:
    """The field lists of one opened connection, each read once: a round of writes may be refused as a whole."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._read: dict[str, list[Field]] = {}

    async def of(self, client: Pipedrive, kind: str) -> list[Field]:
        async with self._lock:
            if kind not in self._read:
                self._read[kind] = await custom_fields(client, kind)
            return self._read[kind]


_LISTS: WeakKeyDictionary[VendorHttp, _Lists] = WeakKeyDictionary()
"""A connection is opened for one task, so a list is as old as that at most."""


async def explain(
    client: Pipedrive,
    values: Mapping[str, Mapping[str, FieldValue]],
    refused: RefusedInput,
    options: Mapping[str, str] | None = None,
) -> PluginError:
    """Return ``MappingBroken`` naming what is gone, else the refusal itself.

    Args:
        client: Reads the lists.
        values: What was written, by record kind.
        refused: The vendor's refusal.
        options: The target's options: pipeline, stage, owner.
    """
    gone: list[str] = []
    for kind, written in values.items():
        gone += await _gone_fields(client, kind, written)
    gone += await _gone_options(client, refused, options or {})
    if not gone:
        return refused
    return MappingBroken(f"{refused}. Gone in Pipedrive: {', '.join(gone)}", gone)


async def _gone_fields(client: Pipedrive, kind: str, written: Mapping[str, FieldValue]) -> list[str]:
    """Return custom keys that are gone, and those whose chosen option is."""
    built_in = {one.key for one in BUILT_IN.get(kind, [])}
    custom = [key for key in written if key not in built_in]
    if not custom:
        return []
    fresh = {one.key: one for one in await _LISTS.setdefault(client.opened, _Lists()).of(client, kind)}
    gone = [key for key in custom if key not in fresh]
    for key in custom:
        field = fresh.get(key)
        if field is None or field.type not in ("option", "options"):
            continue
        value = written[key]
        chosen = {str(one) for one in (value if isinstance(value, list) else [value]) if one is not None}
        if chosen - {option.value for option in field.options}:
            gone.append(key)
    return gone


async def _gone_options(client: Pipedrive, refused: RefusedInput, options: Mapping[str, str]) -> list[str]:
    gone: list[str] = []
    stage, pipeline, owner = options.get("stage"), options.get("pipeline"), options.get("owner")
    if stage and stage not in {str(one.id) for one in await client.stages() if not one.is_deleted}:
        gone.append("stage")
    if pipeline and pipeline not in {str(one.id) for one in await client.pipelines() if not one.is_deleted}:
        gone.append("pipeline")
    # The list of users needs a scope of its own; the vendor's sentence is enough.
    if owner and "owner_id" in refused.keys:
        gone.append("owner")
    return gone
