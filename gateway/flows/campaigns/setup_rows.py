"""Check the mapping of a setup against the manifest and the vendor's live fields, and fill in suggested rows. Pure.

Every problem carries the path of its field: ``mapping[2].field`` for a row that was sent, ``mapping.lead.title`` for a
row that is needed and was not.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from gateway.sdk.mapping import COMPATIBLE, Locality, Source, fits, sources_for
from gateway.sdk.values import Unfit, fit
from gateway.storage.campaigns import CampaignRow
from gateway_schemas.campaign import DefaultEntry, MappingEntry, SetupInput, SetupProblem
from gateway_schemas.manifest import Manifest, MappingRow, Role, Target
from gateway_schemas.records import Field

Place = tuple[str, str]
"""Record kind and field key."""


MADE_BY_TEMPLATE = frozenset({"person.code", "person.link"})
"""Sources that the gateway makes itself where a campaign has a ``link_template``."""


class CheckedRows(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that were given and suggested, and what is wrong with them.

    Attributes:
        mapping / referrer_fields: With the suggested rows behind those that were given.
        needed: Fields without whose value a push is refused.
    """

    mapping: list[MappingEntry]
    referrer_fields: list[MappingEntry]
    needed: frozenset[Place]
    problems: list[SetupProblem]
    warnings: list[SetupProblem]


def rows_of(target: Target, role: Role) -> list[MappingRow]:
    """Return the manifest's required and suggested rows of a target for this role."""
    return target.rows.get(role, [])


def check_rows(
    manifest: Manifest,
    target: Target,
    campaign: CampaignRow,
    role: Role,
    body: SetupInput,
    fields: Mapping[str, Sequence[Field]],
    locality: Locality,
) -> CheckedRows:
    """Check mapping, referrer fields and defaults; see ``CheckedRows``."""
    rows = _Rows(manifest, target, campaign, role, body, fields)
    if body.use_suggested:
        rows.fill_suggested()
    rows.check_entries()
    rows.check_defaults(locality)
    rows.check_required()
    rows.warn_of_missing_codes(campaign)
    return CheckedRows(
        mapping=[row.entry for row in rows.rows if row.part == "mapping"],
        referrer_fields=[row.entry for row in rows.rows if row.part == "referrer_fields"],
        needed=frozenset(rows.needed),
        problems=rows.problems,
        warnings=rows.warnings,
    )


class _Row(msgspec.Struct, frozen=True):
    part: Literal["mapping", "referrer_fields"]
    path: str
    entry: MappingEntry

    @property
    def place(self) -> Place:
        return (self.entry.record_kind, self.entry.field)


class _Rows:
    def __init__(
        self,
        manifest: Manifest,
        target: Target,
        campaign: CampaignRow,
        role: Role,
        body: SetupInput,
        fields: Mapping[str, Sequence[Field]],
    ) -> None:
        self.vendor = manifest.name
        self.target = target
        self.role = role
        self.body = body
        self.live = fields
        self.known = {(kind, field.key): field for kind, found in fields.items() for field in found}
        self.kinds = {kind.key: kind.label for kind in manifest.record_kinds}
        self.sources = sources_for(campaign.fields, role)
        self.rows = [_Row("mapping", f"mapping[{i}]", row) for i, row in enumerate(body.mapping)]
        self.rows += [
            _Row("referrer_fields", f"referrer_fields[{i}]", row) for i, row in enumerate(body.referrer_fields)
        ]
        self.needed: set[Place] = set()
        self.problems: list[SetupProblem] = []
        self.warnings: list[SetupProblem] = []

    def problem(self, field: str, code: str, message: str) -> None:
        self.problems.append(SetupProblem(field=field, message=message, code=code))

    # --- suggested rows ----------------------------------------------------------------------------

    def fill_suggested(self) -> None:
        """Add the manifest's rows whose field is neither mapped nor has a default."""
        for row in rows_of(self.target, self.role):
            if row.source is None or row.source not in self.sources or self._is_covered(row):
                continue
            field = self._suggested_field(row)
            if field is None:
                continue
            entry = MappingEntry(record_kind=row.record_kind, field=field.key, source=row.source)
            if any(one.place == (entry.record_kind, entry.field) for one in self.rows):
                continue
            part: Literal["mapping", "referrer_fields"] = (
                "referrer_fields" if row.source.startswith("referrer.") else "mapping"
            )
            self.rows.append(_Row(part, _path_of(row), entry))

    def _suggested_field(self, row: MappingRow) -> Field | None:
        if row.field is not None:
            return self.known.get((row.record_kind, row.field))
        wanted = row.label.strip().casefold()
        named = [
            field
            for field in self.live.get(row.record_kind, [])
            if field.custom and field.writable and field.label.strip().casefold() == wanted
        ]
        if len(named) > 1:
            keys = " and ".join(field.key for field in named)
            message = f"{self.vendor} has several fields called {row.label!r}: {keys}. Map the one that you mean."
            found = SetupProblem(field=_path_of(row), message=message, code="ambiguous_field")
            (self.problems if self._is_required(row) else self.warnings).append(found)
        return named[0] if len(named) == 1 else None

    def _is_covered(self, row: MappingRow) -> bool:
        if row.field is None:
            return any(self._serves(one, row) for one in self.rows)
        place = (row.record_kind, row.field)
        return any(one.place == place for one in self.rows) or place in self._defaults()

    def _serves(self, one: _Row, row: MappingRow) -> bool:
        """Say whether a mapped row is what a manifest's row for a custom field asks for."""
        field = self.known.get(one.place)
        wanted = row.source or "person.code"
        return (
            one.entry.record_kind == row.record_kind
            and one.entry.source == wanted
            and (field is None or field.custom)  # one that is gone is reported as gone, not as missing too
        )

    # --- rows --------------------------------------------------------------------------------------

    def check_entries(self) -> None:
        """Check every row: kind, field, source, and whether they fit; one field takes one row."""
        taken: dict[Place, str] = {}
        for row in self.rows:
            if first := taken.get(row.place):
                self.problem(f"{row.path}.field", "duplicate_field", f"{first} writes this field already; remove one.")
            taken.setdefault(row.place, row.path)
            source = self._check_source(row)
            field = self._check_field(row.path, *row.place)
            if source is not None and field is not None and not fits(source, field):
                self.problem(f"{row.path}.field", "wrong_type", _misfit(source, field))

    def _check_source(self, row: _Row) -> Source | None:
        source = self.sources.get(row.entry.source)
        path = f"{row.path}.source"
        if source is None:
            self.problem(path, "unknown_source", self._unknown_source(row.entry.source))
        elif row.part == "referrer_fields" and not row.entry.source.startswith("referrer."):
            self.problem(
                path, "wrong_source", "Rows about the referrer take referrer.… sources; use mapping for others."
            )
        return source

    def _unknown_source(self, source: str) -> str:
        if source.startswith("person.fields."):
            declared = [name for name in self.sources if name.startswith("person.fields.")]
            return (
                f"The campaign declares no such form field for this role; it declares: {', '.join(declared) or 'none'}."
            )
        return f"There is no source {source!r}; there are: {', '.join(self.sources)}."

    def _check_field(self, path: str, kind: str, key: str) -> Field | None:
        if kind not in self.target.creates:
            offered = ", ".join(self.target.creates)
            message = f"{self.target.label!r} writes no {kind!r}; it writes: {offered}."
            self.problem(f"{path}.record_kind", "wrong_record_kind", message)
            return None
        field = self.known.get((kind, key))
        label = self.kinds.get(kind, kind)
        if field is None:
            message = f"{self.vendor} has no field {key!r} at {label} any more; refresh the fields and choose another."
            self.problem(f"{path}.field", "unknown_field", message)
        elif not field.writable or field.type == "other":
            self.problem(
                f"{path}.field", "not_writable", f"{field.label} of {label} cannot be written; choose another field."
            )
            return None
        return field

    def check_defaults(self, locality: Locality) -> None:
        """Check every constant by fitting it as a push would."""
        taken: set[Place] = set()
        for index, default in enumerate(self.body.defaults):
            path = f"defaults[{index}]"
            if (place := (default.record_kind, default.field)) in taken:
                self.problem(
                    f"{path}.field", "duplicate_field", "There is a default for this field already; remove one."
                )
            taken.add(place)
            field = self._check_field(path, *place)
            if field is None:
                continue
            try:
                if fit(default.value, field, locality) is None:
                    self.problem(f"{path}.value", "missing_value", f"{field.label}: give a value, or remove the row.")
            except Unfit as error:
                self.problem(f"{path}.value", "unfit_value", f"{field.label}: {error}.")

    # --- required rows -----------------------------------------------------------------------------

    def check_required(self) -> None:
        """Find the manifest's required rows that nothing fills, and remember the fields of those that are filled."""
        for row in rows_of(self.target, self.role):
            if not self._is_required(row):
                continue
            places = list(self._places_for(row))
            self.needed.update(places)
            self._check_optional(row, places)
            if not places and not any(found.field == _path_of(row) for found in self.problems):
                self.problem(_path_of(row), "required", self._how_to_fill(row))

    def warn_of_missing_codes(self, campaign: CampaignRow) -> None:
        """Warn of rows that take a person's code or link, where the campaign makes none and signups must bring it."""
        if campaign.link_template is not None:
            return
        for one in self.rows:
            if one.entry.source not in MADE_BY_TEMPLATE or one.place in self._defaults():
                continue
            field = self.known.get(one.place)
            label = field.label if field is not None else one.entry.field
            without = "is refused" if one.place in self.needed else f"leaves {label} empty"
            message = (
                f"The campaign has no link_template, so the gateway makes no codes and links: a signup that brings no "
                f"{one.entry.source} {without}. Give the campaign a link_template, or send {one.entry.source} with "
                "each signup."
            )
            self.warnings.append(SetupProblem(field=f"{one.path}.source", message=message, code="no_link_template"))

    def _check_optional(self, row: MappingRow, places: Sequence[Place]) -> None:
        """Refuse a required field of a referrer that hangs on who referred them: most were referred by nobody."""
        if self.role != "referrer":
            return
        for one in self.rows:
            if one.place in places and one.entry.source.startswith("referrer.") and one.place not in self._defaults():
                message = (
                    f"Not everybody who refers was referred, and {row.label} is required; "
                    "use another source, or add a default."
                )
                self.problem(f"{one.path}.source", "optional_source", message)

    def _is_required(self, row: MappingRow) -> bool:
        return row.required == "always" or (
            row.required == "with_qualification" and self.body.qualification is not None
        )

    def _places_for(self, row: MappingRow) -> Iterator[Place]:
        if row.field is None:
            yield from (one.place for one in self.rows if self._serves(one, row))
            return
        place = (row.record_kind, row.field)
        if any(one.place == place for one in self.rows) or place in self._defaults():
            yield place

    def _defaults(self) -> set[Place]:
        return {(default.record_kind, default.field) for default in self.body.defaults}

    def _how_to_fill(self, row: MappingRow) -> str:
        kind = self.kinds.get(row.record_kind, row.record_kind)
        if row.field is not None:
            what = f"Map {row.label} of {kind}"
        else:
            source = self.sources.get(row.source or "person.code")
            what = f"Map {source.label if source else row.source} to a custom field of {kind}"
            what += f"; make one called {row.label!r} at {self.vendor} if there is none"
        return f"{what}. {row.why}".strip()


def default_places(defaults: Sequence[DefaultEntry]) -> list[Place]:
    """Return where the constants go."""
    return [(default.record_kind, default.field) for default in defaults]


def _path_of(row: MappingRow) -> str:
    return f"mapping.{row.record_kind}.{row.field or row.label}"


def _misfit(source: Source, field: Field) -> str:
    takes = ", ".join(sorted(COMPATIBLE[source.type]))
    message = f"{source.label} is {source.type}; {field.label} is {field.type}. It goes into: {takes}."
    if source.type == "text" and field.type not in ("email", "phone", "url"):
        message += " If a form field holds it, declare the form field with another type."
    return message
