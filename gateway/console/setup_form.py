"""A campaign's setup as a form: from a saved setup to rows of a page, and from what was sent back to a setup. Pure.

A row of the mapping is one of three kinds. *Fixed*: a built-in field that the manifest names; only its source is
chosen. *Custom*: a field that the account makes for a value that the manifest names; only the field is chosen.
*Free*: both are chosen.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from gateway.console.forms import Form
from gateway.errors import invalid
from gateway.sdk.mapping import Source, fits
from gateway_schemas.base import FieldValue, Money
from gateway_schemas.campaign import (
    DefaultEntry,
    MappingEntry,
    QualificationRule,
    SetupInput,
    SetupProblem,
)
from gateway_schemas.manifest import Manifest, MappingRow, Role, Target, TargetOption
from gateway_schemas.problem import FieldProblem
from gateway_schemas.records import Field

Part = Literal["mapping", "referrer_fields"]
Fields = Mapping[str, Sequence[Field]]
Errors = dict[str, list[str]]
Choice = tuple[str, str]
"""Value and text of an option."""


@dataclass(slots=True)
class Row:
    """A row of the mapping on the page.

    Attributes:
        place: ``kind:field``; empty: not chosen.
        source: Key of a source; empty: not sent.
        offered: The manifest's row that it stands for.
        places / sources: What the pickers offer.
        paths: Under which names problems speak of this row.
    """

    part: Part
    kind: Literal["fixed", "custom", "free"]
    place: str = ""
    source: str = ""
    offered: MappingRow | None = None
    label: str = ""
    required: bool = False
    places: list[tuple[str, list[Choice]]] = field(default_factory=list)
    sources: list[tuple[str, list[Choice]]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Default:
    """A constant on the page; ``known`` says what it may be."""

    place: str = ""
    value: str = ""
    known: Field | None = None
    errors: list[str] = field(default_factory=list)


# --- what was sent ---------------------------------------------------------------------------------------


@dataclass(slots=True)
class Typed:
    """What a person has chosen so far, whether or not it can be saved."""

    target: str = ""
    target_options: dict[str, str] = field(default_factory=dict)
    rows: list[tuple[Part, str, str]] = field(default_factory=list)  # part, place, source
    defaults: list[tuple[str, str]] = field(default_factory=list)  # place, value
    duplicates: str = ""
    trigger: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    match: str = "or_later"
    reverse: bool = False
    spare: int = 1
    seen: str = ""  # mark of the saved setup that the page was made from


def read(form: Form) -> Typed:
    """Return what was sent, in the order of the page."""
    rows: list[tuple[Part, str, str]] = []
    for number in _numbers(form, "row."):
        part: Part = "referrer_fields" if form.get(f"row.{number}.part") == "referrer_fields" else "mapping"
        rows.append((part, form.get(f"row.{number}.place"), form.get(f"row.{number}.source")))
    defaults = [(form.get(f"default.{n}.place"), form.get(f"default.{n}.value")) for n in _numbers(form, "default.")]
    spare = form.get("spare", "1")
    return Typed(
        target=form.get("target"),
        target_options={key: value for key, value in form.starting("option.") if value},
        rows=rows,
        defaults=defaults,
        duplicates=form.get("duplicates"),
        trigger=form.get("trigger"),
        parameters={key: value for key, value in form.starting("parameter.") if value},
        match="exactly" if form.get("match") == "exactly" else "or_later",
        reverse="reverse" in form,
        spare=min(int(spare), 20) if spare.isdecimal() and len(spare) < 4 else 1,
        seen=form.get("seen"),
    )


MOST_ROWS = 200


def _numbers(form: Form, prefix: str) -> list[str]:
    """Return the numbers of the rows that were sent, in order.

    Raises:
        Refused: More rows than a page has, or a number that none of our pages makes.
    """
    found = {name.partition(".")[0] for name, _ in form.starting(prefix)}
    found = {one for one in found if one.isdecimal() and one.isascii()}
    if len(found) > MOST_ROWS or any(len(one) > 4 for one in found):
        raise invalid(FieldProblem(field=prefix.rstrip("."), message=f"Send at most {MOST_ROWS} rows."))
    return sorted(found, key=int)


def typed_from(body: SetupInput) -> Typed:
    """Return a saved setup as if it had been typed."""
    rule = body.qualification
    rows: list[tuple[Part, str, str]] = [("mapping", _place(one), one.source) for one in body.mapping]
    rows += [("referrer_fields", _place(one), one.source) for one in body.referrer_fields]
    return Typed(
        target=body.target,
        target_options=dict(body.target_options),
        rows=rows,
        defaults=[(f"{one.record_kind}:{one.field}", _as_text(one.value)) for one in body.defaults],
        duplicates=body.duplicates or "",
        trigger="" if rule is None else rule.trigger,
        parameters={} if rule is None else dict(rule.parameters),
        match="or_later" if rule is None else rule.match,
        reverse=rule is not None and rule.reverse == "until_issued",
    )


def _place(row: MappingEntry) -> str:
    return f"{row.record_kind}:{row.field}"


def _as_text(value: FieldValue) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case None:
            return ""
        case Money():
            return f"{value.amount:f}"
        case list():
            return ", ".join(map(str, value))
        case _:
            return str(value)


# --- what is saved -----------------------------------------------------------------------------------------


def as_input(
    typed: Typed, manifest: Manifest, role: Role, before: SetupInput | None, fields: Fields, *, suggest: bool = False
) -> SetupInput:
    """Return the setup that was typed; half-filled rows are left out but for those where something is missing.

    Args:
        typed: What was sent.
        manifest: Of the integration.
        role: Whose setup.
        before: The saved setup: its sale value stays.
        fields: Live fields, for the type of constants.
        suggest: Fill in the manifest's suggested rows.
    """
    rows = filled(typed)
    trigger = next((one for one in manifest.triggers if one.key == typed.trigger), None)
    asked = {one.key for one in trigger.parameters} if trigger is not None else set()
    offered = {one.key for one in _options_of(manifest, typed.target)}
    rule = None
    if typed.trigger and role == "referred":
        rule = QualificationRule(
            trigger=typed.trigger,
            parameters={key: value for key, value in typed.parameters.items() if key in asked},
            match="exactly" if typed.match == "exactly" else "or_later",
            reverse="until_issued" if typed.reverse and trigger is not None and trigger.reversed_by else "never",
        )
    return SetupInput(
        target=typed.target,
        target_options={key: value for key, value in typed.target_options.items() if key in offered},
        mapping=[_entry(place, source) for part, place, source in rows if part == "mapping"],
        referrer_fields=[_entry(place, source) for part, place, source in rows if part == "referrer_fields"],
        use_suggested=suggest,
        defaults=[_default(place, value, fields) for place, value in typed.defaults if place],
        duplicates=typed.duplicates or None,
        qualification=rule,
        sale_value=None if before is None else before.sale_value,
    )


def filled(typed: Typed) -> list[tuple[Part, str, str]]:
    """Return the rows that say something: a field and a source."""
    return [row for row in typed.rows if row[1] and row[2]]


def without_gone(rows: list[tuple[Part, str, str]], fields: Fields) -> list[tuple[Part, str, str]]:
    """Return the rows but for those whose field is gone; of kinds that could not be read all are kept."""
    return [row for row in rows if row[1].partition(":")[0] not in fields or _field_at(row[1], fields) is not None]


def _options_of(manifest: Manifest, target: str) -> Sequence[TargetOption]:
    found = next((one for one in manifest.targets if one.key == target), None)
    return [] if found is None else found.options


def _entry(place: str, source: str) -> MappingEntry:
    kind, _, key = place.partition(":")
    return MappingEntry(record_kind=kind, field=key, source=source)


def _default(place: str, value: str, fields: Fields) -> DefaultEntry:
    kind, _, key = place.partition(":")
    known = next((one for one in fields.get(kind, ()) if one.key == key), None)
    given: FieldValue = value
    if known is not None and known.type == "boolean" and value in ("yes", "no"):
        given = value == "yes"
    elif known is not None and known.type == "options":
        given = [part.strip() for part in value.split(",") if part.strip()]
    return DefaultEntry(record_kind=kind, field=key, value=given)


# --- what is shown -----------------------------------------------------------------------------------------


def rows_for(
    typed: Typed, target: Target, role: Role, kinds: Mapping[str, str], fields: Fields, sources: Mapping[str, Source]
) -> list[Row]:
    """Return the rows of the page: the manifest's, then what else was chosen, then empty ones.

    Args:
        typed: What was chosen so far.
        target: What a signup creates.
        role: Whose signups.
        kinds: Labels of record kinds.
        fields: The account's fields, as last read; a kind that could not be read is missing.
        sources: Sources of the campaign.
    """
    left = [(index, *row) for index, row in enumerate(typed.rows) if row[1] or row[2]]
    numbers = _numbering(typed)
    made: list[Row] = []
    for offered in target.rows.get(role, []):
        row = _offered_row(offered, typed, fields)
        found = next((one for one in left if _stands_for(row, one)), None)
        if found is not None:
            left.remove(found)
            row.place, row.source = found[2] or row.place, found[3]
            row.paths += numbers.get(found[0], [])
        made.append(row)
    for index, part, place, source in left:
        made.append(Row(part=part, kind="free", place=place, source=source, paths=numbers.get(index, [])))
    for part in ("mapping", "referrer_fields"):
        if part == "mapping" or role == "referred" or any(row.part == part for row in made):
            made += [Row(part=part, kind="free") for _ in range(typed.spare)]
    for row in made:
        _fill_pickers(row, target, kinds, fields, sources)
    return made


def _numbering(typed: Typed) -> dict[int, list[str]]:
    """Return under which path a setup that is saved speaks of each row."""
    counts = {"mapping": 0, "referrer_fields": 0}
    paths: dict[int, list[str]] = {}
    for index, (part, place, source) in enumerate(typed.rows):
        if place and source:
            paths[index] = [f"{part}[{counts[part]}]"]
            counts[part] += 1
    return paths


def _offered_row(offered: MappingRow, typed: Typed, fields: Fields) -> Row:
    about_referrer = bool(offered.source and offered.source.startswith("referrer."))
    row = Row(
        part="referrer_fields" if about_referrer else "mapping",
        kind="custom" if offered.field is None else "fixed",
        offered=offered,
        label=offered.label,
        required=offered.required == "always" or (offered.required == "with_qualification" and bool(typed.trigger)),
        paths=[f"mapping.{offered.record_kind}.{offered.field or offered.label}"],
    )
    if offered.field is not None:
        row.place = f"{offered.record_kind}:{offered.field}"
        known = next((one for one in fields.get(offered.record_kind, ()) if one.key == offered.field), None)
        row.label = known.label if known is not None and not offered.label else offered.label
    else:
        row.source = offered.source or "person.code"
    return row


def _stands_for(row: Row, sent: tuple[int, Part, str, str]) -> bool:
    _, part, place, source = sent
    if row.kind == "fixed":
        return place == row.place
    assert row.offered is not None
    kind = place.partition(":")[0]
    return part == row.part and source == row.source and kind in ("", row.offered.record_kind)


def _fill_pickers(
    row: Row, target: Target, kinds: Mapping[str, str], fields: Fields, sources: Mapping[str, Source]
) -> None:
    only = row.offered.record_kind if row.kind == "custom" and row.offered is not None else None
    among = list(target.creates) if only is None else [only]
    if row.kind != "fixed":
        row.places = field_groups(among, kinds, fields, row.place, custom=row.kind == "custom")
    known = _field_at(row.place, fields)
    row.sources = source_groups(sources, row.part, known, row.source)


def _field_at(place: str, fields: Fields) -> Field | None:
    kind, _, key = place.partition(":")
    return next((one for one in fields.get(kind, ()) if one.key == key), None)


def field_groups(
    among: Iterable[str], kinds: Mapping[str, str], fields: Fields, chosen: str = "", *, custom: bool = False
) -> list[tuple[str, list[Choice]]]:
    """Return the fields that can be written, by record kind; what is chosen and gone is shown as such."""
    groups: list[tuple[str, list[Choice]]] = []
    seen = False
    for kind in among:
        choices = [
            (f"{kind}:{one.key}", one.label)
            for one in fields.get(kind, ())
            if one.writable and one.type != "other" and (one.custom or not custom)
        ]
        seen = seen or any(value == chosen for value, _ in choices)
        if choices:
            groups.append((kinds.get(kind, kind), choices))
    if chosen and not seen:
        groups.insert(0, ("", [(chosen, chosen.partition(":")[2])]))
    return groups


def source_groups(
    sources: Mapping[str, Source], part: Part, known: Field | None, chosen: str
) -> list[tuple[str, list[Choice]]]:
    """Return the sources that fit a field, grouped by what they are about; the chosen one always."""
    groups: dict[str, list[Choice]] = {}
    for key, source in sources.items():
        about = key.partition(".")[0]
        if (part == "referrer_fields") != (about == "referrer"):
            continue
        if known is not None and not fits(source, known) and key != chosen:
            continue
        name = "form" if key.startswith("person.fields.") else about
        groups.setdefault(name, []).append((key, source.label))
    if chosen and not any(key == chosen for found in groups.values() for key, _ in found):
        label = sources[chosen].label if chosen in sources else chosen
        groups.setdefault("gone", []).append((chosen, label))
    return list(groups.items())


def defaults_for(typed: Typed, fields: Fields) -> list[Default]:
    """Return the constants of the page, and empty ones behind them."""
    made = [
        Default(place=place, value=value, known=_field_at(place, fields))
        for place, value in typed.defaults
        if place or value
    ]
    return [*made, *(Default() for _ in range(typed.spare))]


def place_errors(
    problems: Sequence[SetupProblem | FieldProblem], typed: Typed, rows: list[Row], defaults: list[Default]
) -> Errors:
    """Put each problem beside its row; return those of the other fields by the name of the field on the page."""
    places = [index for index, (place, _) in enumerate(typed.defaults) if place]
    shown = [index for index, (place, value) in enumerate(typed.defaults) if place or value]
    left: Errors = {}
    for one in problems:
        row = next((row for row in rows if any(_is_about(one.field, path) for path in row.paths)), None)
        if row is not None:
            row.errors.append(one.message)
            continue
        if one.field.startswith("defaults["):
            number = one.field.removeprefix("defaults[").partition("]")[0]
            if number.isdecimal() and int(number) < len(places):
                defaults[shown.index(places[int(number)])].errors.append(one.message)
                continue
        left.setdefault(_name_on_page(one.field), []).append(one.message)
    return left


def _is_about(field_path: str, path: str) -> bool:
    return field_path == path or field_path.startswith(f"{path}.")


def _name_on_page(path: str) -> str:
    for prefix, name in (
        ("target_options.", "option."),
        ("qualification.parameters.", "parameter."),
        ("qualification.trigger", "trigger"),
        ("qualification", "trigger"),
        ("duplicates", "duplicates"),
        ("target", "target"),
    ):
        if path.startswith(prefix):
            return name + (path.removeprefix(prefix) if prefix.endswith(".") else "")
    return ""
