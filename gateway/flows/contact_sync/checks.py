"""Check what a contact sync is asked for against the manifest and what the vendor has now. Pure."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from gateway.sdk.mapping import SOURCES, Source, fits
from gateway_schemas.campaign import FormField, SetupProblem
from gateway_schemas.manifest import Manifest
from gateway_schemas.records import Field, FieldType, Option
from gateway_schemas.sync import ContactSelection, SyncMapping, WriteBack

TARGETS: dict[str, frozenset[FieldType]] = {
    "person.first_name": frozenset({"text"}),
    "person.last_name": frozenset({"text"}),
    "person.email": frozenset({"email", "text"}),
    "person.phone": frozenset({"phone", "text"}),
}
"""What a contact gives its referrer, and the types of field that it may come from; form fields take any type."""

REQUIRED = ("person.first_name", "person.email")
WRITTEN = ("person.link", "person.code", "person.referral_count", "person.converted_referral_count")
LABELS = {
    "person.first_name": "First Name",
    "person.email": "Email",
    "person.link": "Referral Link",
}


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a person wants to sync, suggested rows written out."""

    selection: ContactSelection
    mapping: list[SyncMapping]
    write_back: list[WriteBack]


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What was checked: what is wrong with it, and the fields that it writes to as they are now."""

    problems: list[SetupProblem]
    fields: list[Field]


def no_write_back(manifest: Manifest, *, takes_statuses: bool) -> str | None:
    """Return why an integration takes no links back, in words for people; ``None`` where it does."""
    asked = manifest.contact_sync
    if takes_statuses and asked.write_back and asked.no_write_back is None:
        return None
    told = next((one.message for one in manifest.cannot if one.code == "no_write_back"), None)
    return (
        asked.no_write_back
        or told
        or f"{manifest.name} takes no referral links back; they are in the list of people and its CSV export."
    )


def with_suggested(manifest: Manifest, wanted: Wanted, fields: Sequence[Field], *, write_back: bool) -> Wanted:
    """Fill the rows that are not given: built-in fields by their keys, custom fields by their names."""
    known = {one.key for one in fields}
    given = {one.to for one in wanted.mapping}
    suggested = manifest.contact_sync.rows
    mapping = [*wanted.mapping]
    mapping += [
        SyncMapping(field=row.field, to=row.to) for row in suggested if row.to not in given and row.field in known
    ]
    rows = [*wanted.write_back]
    if write_back:
        have = {one.source for one in rows}
        by_label = {one.label.strip().casefold(): one.key for one in reversed(fields) if one.custom and one.writable}
        for row in manifest.contact_sync.write_back:
            key = by_label.get(row.label.casefold())
            if row.source not in have and key is not None:
                rows.append(WriteBack(source=row.source, field=key))
        if not any(one.source == "person.link" for one in rows):
            rows = [*wanted.write_back]  # counts alone are no use: nothing is suggested where there is no link field
    return Wanted(selection=wanted.selection, mapping=mapping, write_back=rows)


def check(
    manifest: Manifest,
    form: Sequence[FormField],
    wanted: Wanted,
    fields: Sequence[Field],
    filters: Sequence[Option] | None,
    *,
    takes_statuses: bool,
) -> Checked:
    """Judge what is asked for.

    Args:
        manifest: Of the connection's integration.
        form: The campaign's form fields.
        wanted: Selection, mapping and write-back.
        fields: The contact's fields as they are now.
        filters: Saved filters as they are now; ``None`` when they were not read, because none is named.
        takes_statuses: The integration writes values back at all.
    """
    known = {one.key: one for one in fields}
    problems = [
        *_check_selection(manifest, wanted.selection, filters),
        *_check_mapping(manifest, form, wanted.mapping, known),
        *_check_write_back(manifest, wanted.write_back, known, takes_statuses=takes_statuses),
    ]
    named = {one.field for one in wanted.write_back}
    return Checked(problems=problems, fields=[one for one in fields if one.key in named])


def _check_selection(
    manifest: Manifest, selection: ContactSelection, filters: Sequence[Option] | None
) -> Iterator[SetupProblem]:
    if selection.filter is None:
        return
    if manifest.contact_sync.filters is None:
        message = f"{manifest.name} has no saved filters to choose from; leave it out to sync all contacts."
        yield SetupProblem(field="selection.filter", message=message, code="not_supported")
    elif filters is not None and selection.filter not in {one.value for one in filters}:
        offered = ", ".join(f"{one.value} ({one.label})" for one in filters[:20]) or "none"
        message = f"The filter {selection.filter!r} is not there (any more); there are: {offered}. Choose another."
        yield SetupProblem(field="selection.filter", message=message, code="unknown_filter")


def _check_mapping(
    manifest: Manifest, form: Sequence[FormField], mapping: Sequence[SyncMapping], known: Mapping[str, Field]
) -> Iterator[SetupProblem]:
    declared = {f"person.fields.{one.key}" for one in form if one.role == "referrer"}
    seen: set[str] = set()
    for index, row in enumerate(mapping):
        path, field = f"mapping[{index}]", known.get(row.field)
        if row.to not in TARGETS and row.to not in declared:
            offered = ", ".join([*TARGETS, *sorted(declared)])
            yield SetupProblem(field=f"{path}.to", message=f"Choose one of: {offered}.", code="unknown_target")
            continue
        if row.to in seen:
            message = f"{row.to} is mapped twice; give each value one field."
            yield SetupProblem(field=f"{path}.to", message=message, code="duplicate")
        seen.add(row.to)
        if field is None:
            message = f"{manifest.name} has no field {row.field!r} of contacts (any more); refresh and choose another."
            yield SetupProblem(field=f"{path}.field", message=message, code="unknown_field")
        elif row.to in TARGETS and field.type not in TARGETS[row.to]:
            message = f"{field.label} is a field of type {field.type}; {row.to} takes {_words(TARGETS[row.to])}."
            yield SetupProblem(field=f"{path}.field", message=message, code="wrong_type")
    for target in REQUIRED:
        if target not in seen:
            message = f"Map {LABELS[target]}: choose the field of {manifest.name} that holds it."
            yield SetupProblem(field="mapping", message=message, code="required")


def _check_write_back(
    manifest: Manifest, rows: Sequence[WriteBack], known: Mapping[str, Field], *, takes_statuses: bool
) -> Iterator[SetupProblem]:
    if not rows:
        return
    if (why := no_write_back(manifest, takes_statuses=takes_statuses)) is not None:
        yield SetupProblem(field="write_back", message=why, code="not_supported")
        return
    sources: set[str] = set()
    taken: set[str] = set()
    for index, row in enumerate(rows):
        path, field = f"write_back[{index}]", known.get(row.field)
        if row.source not in WRITTEN:
            yield SetupProblem(
                field=f"{path}.source", message=f"Choose one of: {', '.join(WRITTEN)}.", code="unknown_source"
            )
            continue
        for name, value, seen in (("source", row.source, sources), ("field", row.field, taken)):
            if value in seen:
                message = f"{value} is mapped twice; map it once."
                yield SetupProblem(field=f"{path}.{name}", message=message, code="duplicate")
            seen.add(value)
        yield from _check_field(manifest, f"{path}.field", row, field, SOURCES[row.source])
    if "person.link" not in sources:
        message = "To show each contact's referral link, map Referral Link to a field; or write nothing back."
        yield SetupProblem(field="write_back", message=message, code="required")


def _check_field(
    manifest: Manifest, path: str, row: WriteBack, field: Field | None, source: Source
) -> Iterator[SetupProblem]:
    if field is None:
        message = f"{manifest.name} has no field {row.field!r} of contacts (any more); create it, or choose another."
        yield SetupProblem(field=path, message=message, code="unknown_field")
    elif not field.custom or not field.writable:
        message = f"{field.label} is not a custom field that we may overwrite; choose or create one."
        yield SetupProblem(field=path, message=message, code="not_writable")
    elif not fits(source, field) or field.type in ("option", "options", "money"):
        message = f"{field.label} is a field of type {field.type}, which cannot hold {source.label}; choose another."
        yield SetupProblem(field=path, message=message, code="wrong_type")


def _words(types: frozenset[FieldType]) -> str:
    return " or ".join(sorted(types))
