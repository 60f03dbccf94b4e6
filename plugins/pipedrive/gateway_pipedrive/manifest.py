"""What the integration says of itself: all that forms, validation and flows need to know of Pipedrive, as data."""

from gateway_pipedrive.client import SEARCHES
from gateway_pipedrive.errors import LIMIT, REMAINING
from gateway_pipedrive.settings import RECEIVED
from gateway_pipedrive.targets import DUPLICATES, KINDS, TARGETS
from gateway_pipedrive.triggers import TRIGGERS
from gateway_pipedrive.wire import HOST_SUFFIX, PAGE
from gateway_schemas.connection import Limitation
from gateway_schemas.manifest import (
    CallWindow,
    ConnectStep,
    ContactSync,
    Feed,
    Manifest,
    OAuth2,
    OptionSource,
    RateBudget,
    SyncRow,
    WriteBackRow,
)

SPEC_VERSION = 1
"""The hook spec that this plugin was written for."""

REQUIRED_SCOPES = ["contacts:full", "deals:full", "leads:full"]
OPTIONAL_SCOPES = {
    "admin": Limitation(
        code="no_webhooks",
        message="Changes are looked up every 5 minutes instead of at once (about every 10 minutes on the smallest "
        "plan), and custom fields have to be created in Pipedrive by hand, because the scope “admin” was not granted.",
    ),
    "users:read": Limitation(
        code="no_owners",
        message="Owners cannot be chosen from a list, because the scope “users:read” was not granted.",
    ),
}

LOGO = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" role="img" aria-label="Pipedrive">'
    '<rect width="32" height="32" rx="7" fill="#1d6b45"/>'
    '<path d="M11 25V7h6.2a5.6 5.6 0 0 1 0 11.2H11" fill="none" stroke="#fff" stroke-width="3.4"/></svg>'
)
"""A letter mark of our own."""

CANNOT = [
    Limitation(
        code="lead_stages",
        message="A lead has no pipeline and no stage: stages can be watched only on the deal that it becomes.",
    ),
    Limitation(
        code="no_conversion_notice",
        message="Pipedrive sends no notice when a lead is converted; the new deal is known by the lead it names.",
    ),
    Limitation(
        code="between_readings",
        message="Without webhooks, changes are looked up every 5 minutes, and about every 10 minutes on the smallest "
        "plan (Lite, one seat), whose daily budget allows no more. A deal that enters a stage and goes back to an "
        "earlier one between two looks is not seen there.",
    ),
    Limitation(
        code="visibility",
        message="Only what the connected user may see is read and reported; connect as an administrator.",
    ),
    Limitation(
        code="duplicates_at_vendor",
        message="Pipedrive lets two contacts have one e-mail address; the oldest one is used, the others are named.",
    ),
]

CONTACT_SYNC = ContactSync(
    rows=[
        SyncRow(
            field="first_name",
            label="First Name",
            to="person.first_name",
            required=True,
            why="So that the referrer can be addressed.",
        ),
        SyncRow(field="last_name", label="Last Name", to="person.last_name", why="Makes the referrer's full name."),
        SyncRow(
            field="emails",
            label="Email",
            to="person.email",
            required=True,
            why="A referrer is known by the e-mail address; of several the primary one is taken.",
        ),
        SyncRow(field="phones", label="Phone", to="person.phone", why="The primary number."),
    ],
    write_back=[
        WriteBackRow(
            source="person.link",
            label="Referral Link",
            required=True,
            why="Shows each contact's referral link in Pipedrive.",
        ),
        WriteBackRow(
            source="person.referral_count",
            label="Referral Count",
            type="number",
            why="How many people the contact has referred.",
        ),
        WriteBackRow(
            source="person.converted_referral_count",
            label="Converted Referral Count",
            type="number",
            why="How many of them became customers.",
        ),
    ],
    filters="filters",
    page=PAGE,
    read_units=10,
    write_units=5,
)
"""Source: ``VENDOR.md``, chapter 1: 10 tokens a page of persons, 5 a change of one."""

MANIFEST = Manifest(
    key="pipedrive",
    name="Pipedrive",
    category="crm",
    spec_version=SPEC_VERSION,
    logo_svg=LOGO,
    summary="Sends signups to Pipedrive as contacts, leads or deals, and qualifies referrals by what becomes of them.",
    auth=OAuth2(
        authorize_path="/oauth/authorize",
        token_path="/oauth/token",  # noqa: S106 - a path
        revoke_path="/oauth/revoke",
        base_url_setting="oauth_url",
        client_id_setting="client_id",
        client_secret_setting="client_secret",  # noqa: S106 - the name of a setting
        required_scopes=REQUIRED_SCOPES,
        optional_scopes=OPTIONAL_SCOPES,
        refresh_unused_days=60,
        host_suffixes=[HOST_SUFFIX],
        uninstall_by_callback=True,
        installs_without_state=True,
    ),
    connect_steps=[
        ConnectStep(
            key="authorise",
            kind="redirect",
            title="Allow access to Pipedrive",
            instructions=[
                "Sign in to Pipedrive as an administrator, so that all records can be seen.",
                "Click Connect under the Pipedrive logo; Pipedrive's own page opens.",
                "Review the permissions, then click Allow and Install.",
                "You come back here by yourself, and the integration is connected.",
            ],
        )
    ],
    record_kinds=KINDS,
    targets=TARGETS,
    duplicates=DUPLICATES,
    default_duplicates="fill_empty",
    triggers=TRIGGERS,
    option_sources=[
        OptionSource(key="pipelines", label="Pipelines"),
        OptionSource(key="stages", label="Stages", parent="pipelines"),
        OptionSource(key="filters", label="Saved filters of contacts"),
        OptionSource(key="users", label="Users"),
        OptionSource(key="currencies", label="Currencies"),
    ],
    feeds=[
        Feed(key="deals", label="Changed deals", interval_seconds=300, healthy_interval_seconds=900),
        Feed(
            key="deals_archived",
            label="Changed archived deals",
            interval_seconds=86_400,
            healthy_interval_seconds=86_400,
        ),
    ],
    contact_kind="contact",
    contact_sync=CONTACT_SYNC,
    read_batch=100,
    settle_seconds=30,
    value_ready="The value is read when the referral qualifies.",
    # The smallest plan with one seat. Searches have a window of their own; a push makes one.
    rate_budget=RateBudget(
        burst_calls=80,
        burst_seconds=2,
        daily=30_000,
        windows=[CallWindow(name=SEARCHES, calls=10, seconds=2)],
        # 1,500 tokens of the smallest budget: a look at changed deals costs 10, so there are 150 a day at most, one
        # every ten minutes. What sweeps read comes out of the same share. Larger plans look every five minutes.
        sweep_share=0.05,
        concurrency=4,
        remaining_header=REMAINING,
        limit_header=LIMIT,
    ),
    allowed_hosts=[HOST_SUFFIX],
    cannot=CANNOT,
    settings=RECEIVED,
)
