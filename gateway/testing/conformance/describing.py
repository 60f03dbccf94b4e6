"""The manifest: forms, validation and flows read it, so all that it names must exist."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from gateway.plugins import Integration
from gateway.testing.conformance.rules import Stage, expect, rule
from gateway_schemas.manifest import Manifest, OAuth2


@rule("bronze")
async def manifest_is_sound(stage: Stage) -> None:
    """The manifest names only what exists, and has a hook for all that it offers."""
    integration = stage.subject.integration()
    found = [*_names(integration.manifest), *_hooks(integration), *_words(integration)]
    expect(not found, "; ".join(found))


def _names(manifest: Manifest) -> Iterator[str]:
    kinds = _keys(manifest.record_kinds)
    targets = _keys(manifest.targets)
    sources = _keys(manifest.option_sources)
    for what in ("record_kinds", "targets", "triggers", "feeds", "option_sources", "connect_steps"):
        keys = [one.key for one in getattr(manifest, what)]
        yield from (f"{what} has {key!r} twice" for key in sorted({key for key in keys if keys.count(key) > 1}))
    for target in manifest.targets:
        rows = [row for some in target.rows.values() for row in some]
        used = [*target.creates, *(row.record_kind for row in rows)]
        yield from _missing(f"target {target.key!r}", "record kind", used, kinds)
        yield from _missing(f"target {target.key!r}", "option source", [one.source for one in target.options], sources)
        parents = [one.parent for one in target.options if one.parent is not None]
        yield from _missing(f"target {target.key!r}", "target option", parents, _keys(target.options))
    for trigger in manifest.triggers:
        where = f"trigger {trigger.key!r}"
        yield from _missing(where, "record kind", [trigger.record_kind], kinds)
        yield from _missing(where, "target", [*trigger.targets, *trigger.through], targets)
        yield from (f"{where} says no `through` for {one!r}" for one in trigger.targets if not trigger.through.get(one))
        asked = [one.parameter for one in trigger.requires if one.parameter is not None]
        yield from _missing(where, "parameter", asked, _keys(trigger.parameters))
        read = [one.source for one in trigger.parameters if one.source is not None]
        yield from _missing(where, "option source", read, sources)
        if not trigger.requires:
            yield f"{where} requires no fact"
    if manifest.duplicates:
        yield from _missing("default_duplicates", "policy", [manifest.default_duplicates], _keys(manifest.duplicates))
    if kinds:
        yield from _missing("contact_kind", "record kind", [manifest.contact_kind], kinds)


def _hooks(integration: Integration) -> Iterator[str]:
    manifest = integration.manifest
    offers = {
        "push_signup": bool(manifest.targets),
        "read_records": bool(manifest.triggers),
        "poll_changes": bool(manifest.feeds),
        "list_options": bool(manifest.option_sources),
    }
    for hook, offered in offers.items():
        if offered != integration.has(hook):
            yield f"{hook}() is {'missing' if offered else 'there'}, but the manifest says otherwise"
    if integration.has("register_webhooks") and not integration.has("verify_webhook"):
        yield "register_webhooks() is there and verify_webhook() is not: anybody could send webhooks"
    if integration.has("settings_type"):
        fields = {field.name.upper() for field in msgspec.structs.fields(integration.hooks.settings_type())}
        listed = {one.name for one in manifest.settings}
        if fields != listed:
            yield f"settings of the Struct and of the manifest differ: {sorted(fields ^ listed)}"


def _words(integration: Integration) -> Iterator[str]:
    manifest = integration.manifest
    for step in manifest.connect_steps:
        if not step.instructions:
            yield f"connect step {step.key!r} has no instructions"
        if step.kind == "form" and not step.fields:
            yield f"connect step {step.key!r} is a form without fields"
        if step.kind == "redirect" and not isinstance(manifest.auth, OAuth2):
            yield f"connect step {step.key!r} redirects, but the authentication is not OAuth2"
    if not manifest.logo_svg.startswith("<svg"):
        yield "logo_svg is no SVG"
    if not manifest.summary:
        yield "summary is empty"
    if manifest.read_batch < 1:
        yield "read_batch is less than 1"


def _keys(things: Sequence[Any]) -> set[str]:
    return {one.key for one in things}


def _missing(where: str, what: str, named: Sequence[str], known: set[str]) -> Iterator[str]:
    yield from (
        f"{where} names the {what} {one!r}, which does not exist" for one in dict.fromkeys(named) if one not in known
    )


RULES = (manifest_is_sound,)
