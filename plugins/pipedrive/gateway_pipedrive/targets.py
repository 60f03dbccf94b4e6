"""What a signup may create in Pipedrive, which fields that needs, and what to do with people who are there already."""

from gateway_schemas.manifest import DuplicatePolicy, MappingRow, RecordKind, Role, Target, TargetOption

KINDS = [
    RecordKind(key="contact", label="Contact", is_contact=True, merges=True, sale_value=True),
    RecordKind(key="lead", label="Lead", sale_value=True),
    RecordKind(key="deal", label="Deal", merges=True, sale_value=True),
    RecordKind(key="note", label="Note"),
]
"""Pipedrive calls a contact *person*; its people say *contact*, as the guide does."""

REFERRAL_CODE = "Referral Code"

_OWNER = TargetOption(key="owner", label="Owner", source="users")
_OPTIONS: dict[str, list[TargetOption]] = {
    "contact": [_OWNER],
    # A lead has no pipeline and no stage; the deal that it becomes gets its own.
    "lead": [_OWNER],
    "deal": [
        TargetOption(key="pipeline", label="Pipeline", source="pipelines"),
        TargetOption(key="stage", label="Initial stage", source="stages", parent="pipeline"),
        _OWNER,
    ],
}
_LABELS = {"contact": "Contact only", "lead": "Contact and lead", "deal": "Contact and deal"}


def _contact_rows() -> list[MappingRow]:
    return [
        MappingRow(
            record_kind="contact",
            field="first_name",
            label="First Name",
            source="person.first_name",
            required="always",
            why="Pipedrive makes no contact without a name.",
        ),
        MappingRow(
            record_kind="contact",
            field="last_name",
            label="Last Name",
            source="person.last_name",
            why="Makes the contact's full name.",
        ),
        MappingRow(
            record_kind="contact",
            field="emails",
            label="Email",
            source="person.email",
            required="always",
            why="Contacts are recognised by their e-mail address, so that nobody is created twice.",
            type="email",
        ),
        MappingRow(
            record_kind="contact",
            field="phones",
            label="Phone",
            source="person.phone",
            why="So that sales can call.",
            type="phone",
        ),
    ]


def _title_row(kind: str) -> MappingRow:
    return MappingRow(
        record_kind=kind,
        field="title",
        label="Title",
        source="campaign.name",
        required="always",
        why=f"Pipedrive labels every {kind} by its title; the campaign's name is a good one.",
    )


def _referral_rows(kind: str, role: Role) -> list[MappingRow]:
    """Return the rows of the custom fields that tell where a record comes from, on the record that the target makes."""
    rows = [
        MappingRow(
            record_kind=kind,
            field=None,
            label=REFERRAL_CODE,
            source="person.code",
            required="always" if role == "referrer" else "with_qualification",
            why="A custom field that says whose signup this is; it stays on the record when a lead becomes a deal.",
        ),
        MappingRow(
            record_kind=kind,
            field=None,
            label="Referral Link",
            source="person.link",
            why="A custom field; shows the person's own referral link in Pipedrive.",
            type="url",
        ),
        MappingRow(
            record_kind=kind,
            field=None,
            label="Campaign Name",
            source="campaign.name",
            why="A custom field; tells the campaigns apart in reports and filters.",
        ),
    ]
    if role == "referred":
        rows += [
            MappingRow(
                record_kind=kind,
                field=None,
                label="Referrer First Name",
                source="referrer.first_name",
                why="A custom field; sales see who made the referral.",
            ),
            MappingRow(
                record_kind=kind,
                field=None,
                label="Referrer Email Address",
                source="referrer.email",
                why="A custom field; finds the person who made the referral.",
            ),
        ]
    return rows


def _rows(target: str, role: Role) -> list[MappingRow]:
    titles = [] if target == "contact" else [_title_row(target)]
    return [*_contact_rows(), *titles, *_referral_rows(target, role)]


TARGETS = [
    Target(
        key=key,
        label=label,
        # A note is written last, and only when something is mapped to it.
        creates=["contact", "note"] if key == "contact" else ["contact", key, "note"],
        rows={"referred": _rows(key, "referred"), "referrer": _rows(key, "referrer")},
        options=_OPTIONS[key],
    )
    for key, label in _LABELS.items()
]

DUPLICATES = [
    DuplicatePolicy(
        key="fill_empty",
        label="Complete the contact",
        description="Only empty mapped fields of the contact are written. The lead or deal is created on that contact.",
    ),
    DuplicatePolicy(
        key="update",
        label="Update the contact",
        description="Mapped fields of the contact are overwritten; e-mail addresses and phone numbers are added to "
        "those that are there. The lead or deal is created on that contact.",
    ),
    DuplicatePolicy(
        key="create",
        label="Create a second contact",
        description="A second contact with the same e-mail address is created, with the lead or deal on it.",
    ),
    DuplicatePolicy(
        key="skip",
        label="Leave the contact alone",
        description="Nothing is written, and no lead or deal is created. The signup is linked to the contact; it can "
        "qualify only with the target “Contact only”, through a later deal of that contact.",
    ),
]
