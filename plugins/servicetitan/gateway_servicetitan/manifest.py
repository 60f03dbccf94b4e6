"""What the integration says of itself: all that forms, validation and flows need to know of ServiceTitan, as data."""

from gateway_schemas.connection import Limitation
from gateway_schemas.manifest import (
    ConnectStep,
    ContactSync,
    Credentials,
    Feed,
    Manifest,
    OptionSource,
    RateBudget,
    StepField,
    SyncRow,
)
from gateway_servicetitan.settings import RECEIVED
from gateway_servicetitan.targets import DUPLICATES, KINDS, TARGETS
from gateway_servicetitan.triggers import TRIGGERS

SPEC_VERSION = 1
"""The hook spec that this plugin was written for."""

REQUIRED_SCOPES = [
    "tn.crm.bookings:r",
    "tn.crm.bookings:w",
    "tn.crm.customers:r",
    "tn.jpm.jobs:r",
]
SEARCH_SCOPE = "tn.crm.contacts:r"
INVOICE_SCOPE = "tn.acc.invoices:r"
OPTIONAL_SCOPES = {
    SEARCH_SCOPE: Limitation(
        code="no_email_search",
        message="Whether somebody is a customer already is known a few minutes late, from the list of contacts alone, "
        "because the scope “tn.crm.contacts:r” was not granted.",
    ),
    INVOICE_SCOPE: Limitation(
        code="no_invoices",
        message="A sale value can be read from the job's total only, because the scope “tn.acc.invoices:r” was not "
        "granted.",
    ),
    "tn.stt.businessunits:r": Limitation(
        code="no_business_units",
        message="Business units cannot be chosen from a list, because the scope “tn.stt.businessunits:r” was not "
        "granted.",
    ),
    "tn.jpm.jobtypes:r": Limitation(
        code="no_job_types",
        message="Job types cannot be chosen from a list, because the scope “tn.jpm.jobtypes:r” was not granted.",
    ),
    "tn.mrk.campaigns:r": Limitation(
        code="no_campaigns",
        message="Campaigns cannot be chosen from a list, because the scope “tn.mrk.campaigns:r” was not granted.",
    ),
    "tn.jbce.callreasons:r": Limitation(
        code="no_call_reasons",
        message="Why a booking was dismissed is not shown, because the scope “tn.jbce.callreasons:r” was not granted.",
    ),
}

HELP = "https://help.servicetitan.com"
TAGS_HELP = f"{HELP}/how-to/create-booking-provider-tags"
PLACE = "Settings > Integrations > API Application Access"

LOGO = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" role="img" aria-label="ServiceTitan">'
    '<rect width="32" height="32" rx="7" fill="#14304f"/>'
    '<path d="M8 10h16M16 10v14" fill="none" stroke="#fff" stroke-width="3.6"/></svg>'
)
"""A letter mark of our own."""

NO_WRITE_BACK = (
    "Referral links are not written back into ServiceTitan: whether a write to a customer's custom fields keeps the "
    "others is not documented, so that it could delete them. All links are in the list of people here."
)
PAGE_SECONDS = 300.0
"""An export may take 100 seconds, and its page may name thousands of customers, 50 of whom are read in one call."""

CONTACT_SYNC = ContactSync(
    rows=[
        SyncRow(
            field="first_name",
            label="First name",
            to="person.first_name",
            required=True,
            why="ServiceTitan keeps one name for each customer; its first word is taken.",
        ),
        SyncRow(field="last_name", label="Last name", to="person.last_name", why="The rest of the customer's name."),
        SyncRow(
            field="email",
            label="Email",
            to="person.email",
            required=True,
            why="People are recognised by their e-mail address; the customer's oldest one is taken.",
        ),
        SyncRow(field="phone", label="Phone", to="person.phone", why="So that the host can reach them."),
    ],
    no_write_back=NO_WRITE_BACK,
    do_not_mail_field="do_not_mail",
    page=200,
    page_seconds=PAGE_SECONDS,
    read_units=5,
)

CANNOT = [
    Limitation(code="no_links_back", message=NO_WRITE_BACK),
    Limitation(
        code="booked_by_hand",
        message="When somebody books a job by hand instead of from the booking, ServiceTitan does not tie the two "
        "together, and the referral cannot qualify by itself. Always book the job from the booking.",
    ),
    Limitation(
        code="no_custom_fields_on_bookings",
        message="A booking has no custom fields: details of the person who made the referral stand in its summary.",
    ),
    Limitation(
        code="between_readings",
        message="Without webhooks, changes are looked up every 5 minutes. A job that is put on hold and taken off it "
        "between two looks is not seen on hold.",
    ),
    Limitation(
        code="existing_contacts_lag",
        message="ServiceTitan does not search customers by e-mail address, so its list of contacts is read and kept "
        "as hashes; an address that was added in the last 5 to 10 minutes may not be known yet.",
    ),
    Limitation(
        code="webhooks_by_hand",
        message="Webhooks are set up once for all customers, by the operator in ServiceTitan's developer portal; there "
        "is none for a new booking, a canceled job or a customer.",
    ),
]

_TENANT_STEPS = [
    "Log into your ServiceTitan account.",
    "Go to Settings by clicking the gear icon in the top-right corner.",
    "From the left-hand navigation menu, select Integrations > API Application Access.",
    "You see your Tenant ID in the top-right-hand corner of the page.",
    "Copy your Tenant ID, insert it into the Tenant field here, and click Authorize.",
]
_WAIT_STEPS = [
    "We are adding your tenant to our app in ServiceTitan, which a person has to do.",
    "You need not keep this page open; come back at any time.",
    "When your application has been approved, the button changes from Pending to Finalise.",
]
_FINALISE_STEPS = [
    "Log into your ServiceTitan account.",
    "Go to Settings by clicking the gear icon in the top-right corner.",
    "From the left-hand navigation menu, select Integrations > API Application Access.",
    "Click the Connect New App button.",
    "Select our app and click Connect.",
    "Review the permissions, and select a booking provider tag from the dropdown list.",
    "Click Allow Access.",
    (
        "The next screen contains the Client ID, the Client Secret (click Generate) and the allowed booking_provider "
        "value; you find it again with Edit beside our app."
    ),
    "Insert the three values here and click Authorize.",
]

MANIFEST = Manifest(
    key="servicetitan",
    name="ServiceTitan",
    category="crm",
    spec_version=SPEC_VERSION,
    logo_svg=LOGO,
    summary="Sends signups to ServiceTitan as bookings, and qualifies referrals when a booking becomes a job.",
    auth=Credentials(token_path="/connect/token", base_url_setting="auth_url"),  # noqa: S106 - a path
    connect_steps=[
        ConnectStep(
            key="tenant",
            kind="form",
            title="Your Tenant ID",
            instructions=_TENANT_STEPS,
            fields=[
                StepField(
                    key="tenant",
                    label="Tenant",
                    pattern=r"[0-9]{1,18}",
                    help=f"Digits only, from {PLACE}.",
                    help_url=HELP,
                )
            ],
        ),
        ConnectStep(key="approval", kind="approval", title="Pending", instructions=_WAIT_STEPS),
        ConnectStep(
            key="finalise",
            kind="form",
            title="Finalise",
            instructions=_FINALISE_STEPS,
            fields=[
                StepField(
                    key="client_id",
                    label="Client ID",
                    help=f"From {PLACE}, with Edit beside our app.",
                    help_url=HELP,
                ),
                StepField(
                    key="client_secret",
                    label="Client Secret",
                    secret=True,
                    help=f"From the same page; ServiceTitan shows it once, after Generate. {PLACE}.",
                    help_url=HELP,
                ),
                StepField(
                    key="booking_provider",
                    label="Booking Provider Value",
                    pattern=r"[0-9]{1,18}",
                    help="Digits only: the allowed booking_provider value of the same page. It comes with the booking "
                    "provider tag that was selected.",
                    help_url=TAGS_HELP,
                ),
            ],
        ),
    ],
    record_kinds=KINDS,
    targets=TARGETS,
    duplicates=DUPLICATES,
    default_duplicates="skip",
    triggers=TRIGGERS,
    option_sources=[
        OptionSource(key="job_statuses", label="Job statuses"),
        OptionSource(key="campaigns", label="Campaigns"),
        OptionSource(key="business_units", label="Business units"),
        OptionSource(key="job_types", label="Job types", parent="business_units"),
        OptionSource(key="priorities", label="Priorities"),
    ],
    feeds=[
        Feed(key="bookings", label="Changed bookings", interval_seconds=300, healthy_interval_seconds=900),
        Feed(key="jobs", label="Changed jobs", interval_seconds=300, healthy_interval_seconds=900),
        # The vendor asks to wait 5 to 10 minutes at the end of an export feed.
        Feed(
            key="contacts",
            label="Customers and their contacts",
            interval_seconds=600,
            healthy_interval_seconds=600,
            contacts=True,
            page_seconds=PAGE_SECONDS,
        ),
    ],
    contact_kind="customer",
    contact_sync=CONTACT_SYNC,
    read_batch=50,
    # Data is reported to lag one to three minutes behind; nobody documents it for the list by external id.
    settle_seconds=60,
    value_ready="The value is read when the job is completed: until then its invoice stands at 0.00.",
    # 60 calls a second for our app in one tenant, whatever they are for.
    rate_budget=RateBudget(burst_calls=60, burst_seconds=1, concurrency=4),
    allowed_hosts=["api.servicetitan.io", "auth.servicetitan.io"],
    cannot=CANNOT,
    help_url=HELP,
    settings=RECEIVED,
)
