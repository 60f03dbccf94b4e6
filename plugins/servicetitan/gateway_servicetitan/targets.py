"""What a signup creates in ServiceTitan, which fields that needs, and what to do with people who are there already."""

from gateway_schemas.manifest import DuplicatePolicy, MappingRow, RecordKind, Role, Target

BOOKING = "booking"
KINDS = [
    RecordKind(key="customer", label="Customer", is_contact=True, merges=True),
    RecordKind(key=BOOKING, label="Booking"),
    RecordKind(key="job", label="Job", sale_value=True),
]
"""A booking is what the guide creates; the vendor's people make customer and job of it."""


def _row(field: str, label: str, source: str | None, why: str, *, required: bool = False) -> MappingRow:
    return MappingRow(
        record_kind=BOOKING,
        field=field,
        label=label,
        source=source,
        required="always" if required else "never",
        why=why,
    )


def _needed(role: Role) -> list[MappingRow]:
    told = "who signed up to share" if role == "referrer" else "whom a friend has sent"
    return [
        _row(
            "source",
            "Source",
            "campaign.name",
            "ServiceTitan takes no booking without a source; the campaign's name tells campaigns apart in reports.",
            required=True,
        ),
        _row("name", "Name", "person.full_name", "ServiceTitan takes no booking without a name.", required=True),
        _row(
            "email",
            "Email",
            "person.email",
            "People are recognised by their e-mail address, so that only new contacts are created.",
            required=True,
        ),
        _row(
            "summary",
            "Summary",
            "campaign.name",
            f"What the person at the telephone reads about somebody {told}; details of the referral follow it, a line "
            "each.",
            required=True,
        ),
        _row(
            "externalId",
            "External ID",
            "person.code",
            "Ties the booking to the signup, so that nothing is created twice. The end of the person's id is added to "
            "it, since it must be unique for each signup.",
            required=True,
        ),
        _row(
            "isFirstTimeClient",
            "Is First Time Client",
            None,
            "ServiceTitan takes no booking without it: choose Yes or No as the default.",
            required=True,
        ),
        _row("phone", "Phone", "person.phone", "So that the customer's people can call."),
    ]


def _details(role: Role) -> list[MappingRow]:
    """Return the lines below the summary: a booking has no custom fields."""
    if role == "referrer":
        return [
            _row("summary.code", "Summary: Referral code", "person.code", "A line of the summary: their own code."),
            _row("summary.link", "Summary: Referral link", "person.link", "A line of the summary: their own link."),
        ]
    return [
        _row(
            "summary.referrer_name",
            "Summary: Referred by",
            "referrer.full_name",
            "A line of the summary: who made the referral. A booking has no custom fields to hold it.",
        ),
        _row(
            "summary.referrer_email",
            "Summary: Referrer's e-mail",
            "referrer.email",
            "A line of the summary: finds the person who made the referral.",
        ),
        _row(
            "summary.referrer_code",
            "Summary: Referrer's code",
            "referrer.code",
            "A line of the summary: whose code was used.",
        ),
    ]


TARGETS = [
    Target(
        key=BOOKING,
        label="Booking",
        creates=[BOOKING],
        rows={
            "referred": [*_needed("referred"), *_details("referred")],
            "referrer": [*_needed("referrer"), *_details("referrer")],
        },
    )
]

DUPLICATES = [
    DuplicatePolicy(
        key="skip",
        label="Only create new contacts",
        description="Somebody whose e-mail address a customer has already gets no booking. The signup is linked to "
        "that customer, and a referral of an existing customer cannot qualify.",
    ),
    DuplicatePolicy(
        key="create",
        label="Create a booking for everybody",
        description="A booking is created whether or not a customer with this e-mail address is there.",
    ),
]
