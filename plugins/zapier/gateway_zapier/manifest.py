"""What the integration says of itself."""

from gateway_schemas.connection import Limitation
from gateway_schemas.manifest import AccountKey, Manifest
from gateway_zapier.settings import RECEIVED

SPEC_VERSION = 1
"""The hook spec that this plugin was written for."""

SCOPE = "zapier"
"""Of the account key that connecting makes; it opens this plugin's routes and nothing else."""

PER_SECOND = 30
"""Requests that Zapier takes on one hook URL. Source: its operating constraints, read October 2024."""

LOGO = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" role="img" aria-label="Zapier">'
    '<rect width="32" height="32" rx="7" fill="#c2410c"/>'
    '<path d="M9 9h14L9 23h14" fill="none" stroke="#fff" stroke-width="3.2" stroke-linejoin="round"/></svg>'
)
"""A letter mark of our own."""

CANNOT = [
    Limitation(
        code="accepted_is_not_done",
        message="Zapier answers before a Zap has run: “delivered” here says that Zapier took the event, and the Zap's "
        "own history says what became of it.",
    ),
    Limitation(
        code="no_deduplication",
        message="Zapier does not recognise an event that comes a second time after a lost answer: a Zap that must run "
        "once only looks for the event's id, which stays the same.",
    ),
]

MANIFEST = Manifest(
    key="zapier",
    name="Zapier",
    category="automation",
    spec_version=SPEC_VERSION,
    logo_svg=LOGO,
    summary="Tells Zaps what happens, and lets them add people, qualify referrals and record sales.",
    auth=AccountKey(
        instructions=[
            "Copy the key now; it is shown this once.",
            "In Zapier, add a step with our app and choose “Connect a new account”.",
            "Paste the key and continue: Zapier shows the name of your account.",
            "Turn the Zap on; its subscription appears here.",
        ],
    ),
    connect_steps=[],
    deliveries_per_second=PER_SECOND,
    cannot=CANNOT,
    settings=RECEIVED,
)
