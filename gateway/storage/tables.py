"""Every table of the gateway, SQLAlchemy Core, the same on SQLite and PostgreSQL.

Grouped by aggregate; each aggregate's statements stand in the storage module of its name.
Columns that hold plain personal data are listed in ``storage/personal.py``.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from gateway.storage.columns import Json, Money, UtcTime

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# --- queue (storage/tasks.py, storage/lanes.py) ---------------------------------------------------

lanes = Table(
    "lanes",
    metadata,
    Column(
        "id", String(200), primary_key=True
    ),  # vendor:{integration}:{identity} | endpoint:{id} | url:{sha256} | internal
    Column("owner", String(64)),  # process that runs this lane's tasks; null = free
    Column("epoch", BigInteger, nullable=False, server_default="0"),  # grows with each change of owner
    Column("lease_until", UtcTime),
    Column("paused_until", UtcTime),  # a wait that the vendor asked for (429) outlives the owner
    Column("held", String(64)),  # why nothing runs: needs_reauth, disconnected; null = runs
    Index(
        "ix_lanes_owner", "owner", sqlite_where=text("owner is not null"), postgresql_where=text("owner is not null")
    ),
)

tasks = Table(
    "tasks",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("kind", String(64), nullable=False),
    Column("args", Json, nullable=False),
    Column("account_id", String(128)),
    Column("lane", String(200), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("exclusive_key", String(200)),  # two tasks of one lane with the same key never run together
    Column("unique_key", String(200)),  # at most one task waits under this key
    Column("state", String(16), nullable=False),  # available running done failed cancelled parked
    Column(
        "attempt", Integer, nullable=False, server_default="0"
    ),  # number of the latest attempt, counted before it starts
    Column(
        "uncounted", Integer, nullable=False, server_default="0"
    ),  # attempts that use up none: told to wait, held, parked
    Column("max_attempts", Integer, nullable=False),
    Column("due_at", UtcTime, nullable=False),
    Column("started_at", UtcTime),  # when the latest attempt began
    Column("steps", Json),  # what a push has finished, see sdk.connection.Push.once
    Column("park_cause", String(200)),
    Column("error", Text),
    Column("created_at", UtcTime, nullable=False),
    Column("finished_at", UtcTime),
    Index(
        "ix_tasks_due",
        "lane",
        "priority",
        "due_at",
        sqlite_where=text("state = 'available'"),
        postgresql_where=text("state = 'available'"),
    ),
    Index(
        "ix_tasks_running", "lane", sqlite_where=text("state = 'running'"), postgresql_where=text("state = 'running'")
    ),
    Index(
        "ix_tasks_parked",
        "park_cause",
        sqlite_where=text("state = 'parked'"),
        postgresql_where=text("state = 'parked'"),
    ),
    Index(
        "ix_tasks_finished",
        "finished_at",
        sqlite_where=text("finished_at is not null"),
        postgresql_where=text("finished_at is not null"),
    ),
    Index(
        "ix_tasks_pushes",
        "account_id",
        "id",
        sqlite_where=text("kind in ('push_signup', 'push_status')"),
        postgresql_where=text("kind in ('push_signup', 'push_status')"),
    ),
    Index(
        "uq_tasks_unique_key",
        "unique_key",
        unique=True,
        sqlite_where=text("state = 'available' and unique_key is not null"),
        postgresql_where=text("state = 'available' and unique_key is not null"),
    ),
)

attempts = Table(
    "attempts",
    metadata,
    Column("task_id", String(40), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("started_at", UtcTime, nullable=False),
    Column("duration_ms", Integer),
    Column("status", String(32)),  # done, or the class of the error
    Column("error", Text),
    Column("excerpt", Text),  # what was sent and answered, secrets redacted, cut
    Index("ix_attempts_started_at", "started_at"),
)

schedules = Table(
    "schedules",
    metadata,
    Column("key", String(200), primary_key=True),
    Column("due_at", UtcTime, nullable=False),
)

# --- accounts, keys, sessions (storage/accounts.py) ----------------------------------------------

accounts = Table(
    "accounts",
    metadata,
    Column("id", String(128), primary_key=True),  # the host's own id
    Column("name", String(200), nullable=False),
    Column("timezone", String(64), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("country", String(2)),
    Column("locale", String(16), nullable=False),
    Column("sequence", BigInteger, nullable=False, server_default="0"),  # of events that concern no person
    Column("created_at", UtcTime, nullable=False),
)

account_keys = Table(
    "account_keys",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("account_id", ForeignKey("accounts.id"), nullable=False, index=True),
    Column("name", String(200), nullable=False),
    Column("scopes", Json, nullable=False),
    Column("key_hash", String(64), nullable=False, unique=True),  # SHA-256 of a key with 256 random bits
    Column("created_at", UtcTime, nullable=False),
    Column("last_used_at", UtcTime),
    Column("revoked_at", UtcTime),
    Column("prefix", String(16)),  # how the key begins; null in those of before
)

console_sessions = Table(
    "console_sessions",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("account_id", ForeignKey("accounts.id"), nullable=False, index=True),
    Column("link_hash", String(64), nullable=False, unique=True),
    Column("link_expires_at", UtcTime, nullable=False),
    Column("token_hash", String(64), unique=True),  # set when the link was opened
    Column("expires_at", UtcTime),  # slides
    Column("ends_at", UtcTime),  # does not
    Column("created_at", UtcTime, nullable=False),
)

operator_sessions = Table(
    "operator_sessions",  # of people who signed in to the console with a host key
    metadata,
    Column("id", String(40), primary_key=True),
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("key_hash", String(64), nullable=False),  # of the host key: when that is taken away, the session ends
    Column("expires_at", UtcTime, nullable=False),  # slides
    Column("ends_at", UtcTime, nullable=False),  # does not
    Column("created_at", UtcTime, nullable=False),
)

# --- secrets (storage/vault.py) ------------------------------------------------------------------

secrets = Table(
    "secrets",
    metadata,
    Column("owner", String(64), primary_key=True),  # the row that it belongs to: bound into the ciphertext
    Column("name", String(64), primary_key=True),
    Column("ciphertext", LargeBinary, nullable=False),
    Column("key_id", String(16), nullable=False, index=True),
    Column("updated_at", UtcTime, nullable=False),
)

# --- connections (storage/connections.py) --------------------------------------------------------

connections = Table(
    "connections",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("account_id", ForeignKey("accounts.id"), nullable=False, index=True),
    Column("integration", String(64), nullable=False),
    Column("category", String(16), nullable=False),
    Column("state", String(32), nullable=False),
    Column("step", String(64)),  # connect step that is to be done now; in active ones: of a re-authorisation under way
    Column("identity", String(128)),
    Column("identity_claim", String(260)),  # identity, or account and identity where a setting lets accounts share one
    Column("name", String(200)),
    Column("vendor_user", String(128)),
    Column("granted", Json, nullable=False),
    Column("limitations", Json, nullable=False),
    Column("properties", Json, nullable=False),
    Column("currency", String(3)),
    Column("return_url", Text),
    Column("reason", Text),
    Column("created_at", UtcTime, nullable=False),
    Column("state_since", UtcTime, nullable=False),
    Column("expires_at", UtcTime),  # when an authorisation that nobody finished lapses
    Column("activated_at", UtcTime),
    Column("disconnected_at", UtcTime),
    Column("token_expires_at", UtcTime),
    Column("token_refreshed_at", UtcTime),  # an unused refresh token dies; kept alive from here
    Column("refresh_owner", String(40)),  # who refreshes the token now …
    Column("refresh_until", UtcTime),  # … and until when nobody else may: refresh tokens may be good for one use
    Column("last_good_call_at", UtcTime),
    Column("last_webhook_at", UtcTime),
    Column("last_error", Text),
    Column("webhooks", String(16), nullable=False, server_default="unavailable"),
    Column("inbound_token_hash", String(64)),
    Column("reminded_at", UtcTime),  # when the host was reminded that it waits for approval
    Index(
        "uq_connections_one_crm", "account_id", unique=True,
        sqlite_where=text("category = 'crm' and state <> 'disconnected'"),
        postgresql_where=text("category = 'crm' and state <> 'disconnected'"),
    ),
    Index(
        "uq_connections_one_each", "account_id", "integration", unique=True,
        sqlite_where=text("state <> 'disconnected'"), postgresql_where=text("state <> 'disconnected'"),
    ),
    Index(
        "uq_connections_identity", "integration", "identity_claim", unique=True,
        sqlite_where=text("state <> 'disconnected' and identity_claim is not null"),
        postgresql_where=text("state <> 'disconnected' and identity_claim is not null"),
    ),
    Index("ix_connections_identity", "integration", "identity"),
)  # fmt: skip

oauth_states = Table(
    "oauth_states",
    metadata,
    Column("state_hash", String(64), primary_key=True),
    Column("connection_id", ForeignKey("connections.id"), nullable=False, index=True),
    Column("created_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    Column("used_at", UtcTime),
)

installations = Table(
    "installations",  # Marketplace installs that no account has claimed yet; tokens stand in the vault
    metadata,
    Column("id", String(40), primary_key=True),
    Column("integration", String(64), nullable=False),
    Column("identity", String(128), nullable=False),
    Column("name", String(200)),
    Column("verified", Json, nullable=False),
    Column("claim_hash", String(64), nullable=False, unique=True),  # cookie of the browser that installed
    Column("code_hash", String(64), nullable=False, unique=True),  # one-time code shown on the page
    Column("created_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    Column("claimed_by", String(40)),
    Column("ended_at", UtcTime),
)

vendor_lists = Table(
    "vendor_lists",  # fields and options as last read, for pickers and validation
    metadata,
    Column("connection_id", ForeignKey("connections.id"), primary_key=True),
    Column("source", String(64), primary_key=True),  # fields:{record kind} | options:{source}
    Column("parent", String(128), primary_key=True, server_default=""),
    Column("body", Json, nullable=False),
    Column("read_at", UtcTime, nullable=False),
)

budgets = Table(
    "budgets",
    metadata,
    Column("lane", String(200), primary_key=True),
    Column("day", String(10), primary_key=True),
    Column("used", BigInteger, nullable=False, server_default="0"),
    Column("background", BigInteger, nullable=False, server_default="0"),  # of it: sweeps and polls
    Column("sweeps", BigInteger, nullable=False, server_default="0"),  # of that: sweeps
    Column("daily_limit", BigInteger),
    Column("remaining", BigInteger),  # as the vendor's headers said last
    Column("updated_at", UtcTime, nullable=False),
)

interactive_calls = Table(
    "interactive_calls",  # calls made while a person waits, of all processes: they share the tenant's kept-back tenth
    metadata,
    Column("lane", String(200), primary_key=True),
    Column("second", BigInteger, primary_key=True),  # when the span of the burst window begins, since the epoch
    Column("calls", Integer, nullable=False),
)

# --- campaigns and setups (storage/campaigns.py) -------------------------------------------------

campaigns = Table(
    "campaigns",
    metadata,
    Column("account_id", ForeignKey("accounts.id"), primary_key=True),
    Column("id", String(128), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("state", String(16), nullable=False),
    Column("fields", Json, nullable=False),
    Column("link_template", Text),
    Column("rewards", Json, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
)

setups = Table(
    "setups",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("account_id", String(128), nullable=False),
    Column("campaign_id", String(128), nullable=False),
    Column("role", String(16), nullable=False),
    Column("connection_id", ForeignKey("connections.id"), nullable=False),
    Column("integration", String(64), nullable=False),
    Column("identity", String(128), nullable=False),  # applies again only to the same vendor tenant
    Column("body", Json, nullable=False),
    Column("resolved", Json, nullable=False),  # values of ordered parameters that count, fields as last seen
    Column("state", String(32), nullable=False),
    Column("problems", Json, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    UniqueConstraint("connection_id", "campaign_id", "role"),
    Index("ix_setups_account", "account_id", "campaign_id", "role"),
    Index("ix_setups_identity", "account_id", "integration", "identity"),
)

# --- people and their CRM records (storage/people.py, storage/links.py) ---------------------------

people = Table(
    "people",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("account_id", String(128), nullable=False),
    Column("campaign_id", String(128), nullable=False),
    Column("role", String(16), nullable=False),
    Column("email", String(320)),  # normalised; null for a referrer who is known by code or id alone
    Column("email_hash", String(64)),
    Column("first_name", String(200)),
    Column("last_name", String(200)),
    Column("phone", String(60)),
    Column("external_id", String(128)),
    Column("code", String(100)),
    Column("link", Text),
    Column("fields", Json, nullable=False),
    Column("source", String(200)),
    Column("signed_up", Boolean, nullable=False),  # false: only named as a referrer so far
    Column("test", Boolean, nullable=False),
    Column("state", String(16)),
    Column("crm", String(16), nullable=False),
    Column("crm_cause", String(64)),
    Column("crm_note", Text),
    Column("crm_since", UtcTime, nullable=False),
    Column("cannot_qualify", Text),
    Column("referrer_id", String(40)),
    Column("base_referrals", Integer, nullable=False, server_default="0"),  # the host's PATCH sets the base …
    Column("base_qualified", Integer, nullable=False, server_default="0"),
    Column("referrals", Integer, nullable=False, server_default="0"),  # … what we carry since is added
    Column("qualified", Integer, nullable=False, server_default="0"),
    Column("sale_amount", Money),
    Column("sale_currency", String(3)),
    Column("qualified_at", UtcTime),
    Column("qualified_by", Json),  # rule, record and values seen
    Column(
        "manual", Boolean, nullable=False, server_default=text("false")
    ),  # qualified or reversed by hand: the CRM does not change it
    Column("sequence", BigInteger, nullable=False, server_default="0"),
    Column("swept_at", UtcTime),
    Column("signed_up_at", UtcTime, nullable=False),
    Column(
        "accepted_at", UtcTime
    ),  # when we answered 202 for the signup: the ledger's day; null for a person who is only named or imported
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    Index(
        "uq_people_email",
        "account_id",
        "campaign_id",
        "role",
        "email_hash",
        unique=True,
        sqlite_where=text("email_hash is not null"),
        postgresql_where=text("email_hash is not null"),
    ),
    Index(
        "uq_people_external_id",
        "account_id",
        "campaign_id",
        "role",
        "external_id",
        unique=True,
        sqlite_where=text("external_id is not null"),
        postgresql_where=text("external_id is not null"),
    ),
    Index(
        "uq_people_code",
        "account_id",
        "campaign_id",
        "role",
        "code",
        unique=True,
        sqlite_where=text("code is not null"),
        postgresql_where=text("code is not null"),
    ),
    Index("ix_people_account", "account_id", "id"),
    Index("ix_people_names", "account_id", "id", "first_name", "last_name"),  # a search reads these, not the rows
    Index("ix_people_referrer_id", "referrer_id"),
    Index("ix_people_email_hash", "email_hash"),
    Index("ix_people_ledger", "account_id", "accepted_at", "crm"),
    Index("ix_people_accepted_at", "accepted_at"),
    Index("ix_people_campaign", "account_id", "campaign_id", "role", "state"),
    Index(
        "ix_people_qualified_at",
        "account_id",
        "qualified_at",
        sqlite_where=text("qualified_at is not null"),
        postgresql_where=text("qualified_at is not null"),
    ),
    Index(
        "ix_people_held",
        "account_id",
        "crm_cause",
        sqlite_where=text("crm = 'held'"),
        postgresql_where=text("crm = 'held'"),
    ),
    Index(
        "ix_people_open",
        "account_id",
        "swept_at",
        sqlite_where=text("role = 'referred' and crm = 'linked'"),
        postgresql_where=text("role = 'referred' and crm = 'linked'"),
    ),
)

pushes = Table(
    "pushes",  # what a signup sends, frozen at the first attempt
    metadata,
    Column("person_id", String(40), primary_key=True),
    Column("connection_id", String(40), primary_key=True),
    Column("setup_id", String(40), nullable=False),
    Column("frozen", Json),  # null after a refusal that proves that nothing was written: mapped anew
    Column("frozen_at", UtcTime, nullable=False),
    Column("steps", Json),  # what a task that failed had done: a replay goes on from there
)

links = Table(
    "links",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("account_id", String(128), nullable=False),
    Column("connection_id", ForeignKey("connections.id"), nullable=False),
    Column("record_kind", String(32), nullable=False),
    Column("record_id", String(128), nullable=False),
    Column("email_hash", String(64)),
    Column("person_id", String(40), nullable=False, index=True),
    Column("how", String(16), nullable=False),
    Column("url", Text),
    Column("created_at", UtcTime, nullable=False),
    Column("gone_at", UtcTime),
    UniqueConstraint("connection_id", "record_kind", "record_id", "person_id"),
    Index("ix_links_email", "connection_id", "email_hash"),
    Index("ix_links_created_at", "created_at"),
)

# --- contact index (storage/contact_index.py) ----------------------------------------------------
# Contacts of a vendor that has no search by e-mail: ids and keyed hashes, no names and no addresses.

contact_indexes = Table(
    "contact_indexes",  # of an account's vendor tenant, not of a connection: connecting it again goes on with it
    metadata,
    Column("id", String(40), primary_key=True),
    Column("account_id", String(128), nullable=False),
    Column("integration", String(64), nullable=False),
    Column("identity", String(128), nullable=False),
    Column("begun_at", UtcTime, nullable=False),
    UniqueConstraint("account_id", "integration", "identity"),
)

contact_walks = Table(
    "contact_walks",  # how far each feed that tells of contacts has been read
    metadata,
    Column("index_id", ForeignKey("contact_indexes.id"), primary_key=True),
    Column("feed", String(64), primary_key=True),
    Column("contacts_read", BigInteger, nullable=False),  # since the walk began
    Column("done_at", UtcTime),  # when its end was reached; null while it is walked
)

seen_contacts = Table(
    "seen_contacts",
    metadata,
    Column("index_id", ForeignKey("contact_indexes.id"), primary_key=True),
    Column("record_id", String(128), primary_key=True),
    Column("active", Boolean, nullable=False),
    Column("merged_into", String(128)),
)

seen_emails = Table(
    "seen_emails",
    metadata,
    Column("index_id", ForeignKey("contact_indexes.id"), primary_key=True),
    Column("email_hash", String(64), primary_key=True),
    Column("record_id", String(128), primary_key=True),
    # all columns: with two of them SQLite reads a whole index by its key instead, since that is covering
    Index("ix_seen_emails_record", "index_id", "record_id", "email_hash"),
)

# --- contact sync (storage/syncs.py, storage/sync_contacts.py) --------------------------------------

syncs = Table(
    "syncs",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("account_id", String(128), nullable=False),
    Column("campaign_id", String(128), nullable=False),
    Column("connection_id", ForeignKey("connections.id"), nullable=False),
    Column("integration", String(64), nullable=False),
    Column("identity", String(128), nullable=False),  # goes on only with the same vendor tenant
    Column("state", String(32), nullable=False),
    Column("phase", String(16), nullable=False),
    Column("cause", String(64)),
    Column("message", Text),
    Column("problems", Json, nullable=False),
    Column("ongoing", Boolean, nullable=False),
    Column("selection", Json, nullable=False),
    Column("mapping", Json, nullable=False),
    Column("write_back", Json, nullable=False),
    Column("fields", Json, nullable=False),  # of the contact that the write-back names, as last seen
    Column("estimate", Json),
    Column("walk", Integer, nullable=False, server_default="1"),  # number of the latest whole walk
    Column("changes", Boolean, nullable=False),  # the walk under way reads only what changed
    Column("checkpoint", Text),  # of the walk under way; null at its beginning
    Column("resume", Text),  # where the next walk over what changed begins
    Column("pages", Integer, nullable=False, server_default="0"),  # of the latest whole walk
    Column("read", BigInteger, nullable=False, server_default="0"),
    Column("total", BigInteger),
    Column("at_most", Boolean, nullable=False),
    Column("imported", BigInteger, nullable=False, server_default="0"),
    Column("skipped", Json, nullable=False),  # by reason
    Column("gone", BigInteger, nullable=False, server_default="0"),
    Column("to_write", BigInteger, nullable=False, server_default="0"),
    Column("written", BigInteger, nullable=False, server_default="0"),
    Column("refused", BigInteger, nullable=False, server_default="0"),
    Column("links_outstanding", BigInteger, nullable=False, server_default="0"),
    Column("rate", Integer),  # contacts in a thousand seconds, lately
    Column("links_due_at", UtcTime),  # until when the host is waited for
    Column("walk_started_at", UtcTime),
    Column("walked_at", UtcTime),  # when the latest whole walk ended
    Column("next_walk_at", UtcTime),
    Column("started_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    Column("completed_at", UtcTime),
    Index(
        "uq_syncs_open", "connection_id", "campaign_id", unique=True,
        sqlite_where=text("state not in ('completed', 'cancelled')"),
        postgresql_where=text("state not in ('completed', 'cancelled')"),
    ),
    Index("ix_syncs_campaign", "account_id", "campaign_id", "id"),
)  # fmt: skip

sync_contacts = Table(
    "sync_contacts",  # contacts of a sync: ids only, no names and no addresses
    metadata,
    Column("sync_id", ForeignKey("syncs.id"), primary_key=True),
    Column("record_id", String(128), primary_key=True),
    Column("person_id", String(40)),
    Column("state", String(16), nullable=False),  # imported skipped gone
    Column("reason", String(32)),
    Column("walk", Integer, nullable=False),  # the latest whole walk that met it
    Column("to_write", Boolean, nullable=False),  # newer values than it has wait to be written
    Column("written", String(32)),  # hash of the values that it has, as last written or seen
    Column("written_at", UtcTime),
    Index(
        "ix_sync_contacts_person", "person_id",
        sqlite_where=text("person_id is not null"), postgresql_where=text("person_id is not null"),
    ),
    Index(
        "ix_sync_contacts_to_write", "sync_id", "record_id",
        sqlite_where=text("to_write"), postgresql_where=text("to_write"),
    ),
    Index(
        "ix_sync_contacts_odd", "sync_id", "state", "record_id",
        sqlite_where=text("state <> 'imported'"), postgresql_where=text("state <> 'imported'"),
    ),
)  # fmt: skip

# --- qualification (storage/referrals.py) --------------------------------------------------------

facts = Table(
    "facts",  # what was seen of a record that belongs to a referral: a set, so order and repetition do not matter
    metadata,
    Column("person_id", String(40), primary_key=True),
    Column("record_kind", String(32), primary_key=True),
    Column("record_id", String(128), primary_key=True),
    Column("fact", String(64), primary_key=True),
    Column("value", String(128), primary_key=True, server_default=""),
    Column("at", UtcTime),
    Column("seen_at", UtcTime, nullable=False),
    Column("source", String(64), nullable=False),  # webhook, feed, sweep, push
)

record_states = Table(
    "record_states",  # the newest state of a record that belongs to a referral, by the vendor's time
    metadata,
    Column("connection_id", ForeignKey("connections.id"), primary_key=True),
    Column("record_kind", String(32), primary_key=True),
    Column("record_id", String(128), primary_key=True),
    Column("state", String(32), nullable=False),
    Column("record", Json),
    Column("vendor_updated_at", UtcTime),
    Column("read_at", UtcTime, nullable=False),
    Column("gone_since", UtcTime),  # first found missing; null while it is there
)

claims = Table(
    "claims",  # one record qualifies one referral of a campaign
    metadata,
    Column("account_id", String(128), primary_key=True),
    Column("campaign_id", String(128), primary_key=True),
    Column("connection_id", String(40), primary_key=True),
    Column("record_kind", String(32), primary_key=True),
    Column("record_id", String(128), primary_key=True),
    Column("person_id", String(40), nullable=False, index=True),
    Column("created_at", UtcTime, nullable=False),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("connection_id", ForeignKey("connections.id"), primary_key=True),
    Column("feed", String(64), primary_key=True),
    Column("checkpoint", Text),
    Column("polled_at", UtcTime),
    Column("error", Text),
)

inbound = Table(
    "inbound",  # calls of vendors, kept whole until read, then reduced
    metadata,
    Column("id", String(40), primary_key=True),
    Column("integration", String(64), nullable=False),
    Column("connection_id", String(40)),
    Column("dedupe_key", String(200), nullable=False, unique=True),
    Column("received_at", UtcTime, nullable=False),
    Column("request", Json),  # null once read
    Column("body_hash", String(64), nullable=False),
    Column("summary", Json),  # ids, types and times
    Column("read_at", UtcTime),
    Index("ix_inbound_received_at", "received_at"),
    Index(
        "ix_inbound_unread",
        "connection_id",
        "id",
        sqlite_where=text("read_at is null"),
        postgresql_where=text("read_at is null"),
    ),
)

timeline = Table(
    "timeline",
    metadata,
    Column("id", String(40), primary_key=True),  # time-ordered
    Column("person_id", String(40), nullable=False),
    Column("account_id", String(128), nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("kind", String(64), nullable=False),
    Column("text", Text, nullable=False),
    Column("data", Json, nullable=False),
    Index("ix_timeline_person", "person_id", "id"),
)

# --- sales and rewards (storage/rewards.py) ------------------------------------------------------

sales = Table(
    "sales",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("account_id", String(128), nullable=False),
    Column("campaign_id", String(128), nullable=False),
    Column("person_id", String(40), nullable=False, index=True),
    Column("amount", Money, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("external_reference", String(128), nullable=False),
    Column("origin", String(16), nullable=False),
    Column("occurred_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    UniqueConstraint("account_id", "person_id", "external_reference"),
)

rewards = Table(
    "rewards",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("account_id", String(128), nullable=False),
    Column("campaign_id", String(128), nullable=False),
    Column("referrer_id", String(40), nullable=False, index=True),
    Column("referred_id", String(40), nullable=False, index=True),
    Column("rule_key", String(64), nullable=False),
    Column("rule", Json, nullable=False),  # the rule as it was when the reward arose
    Column("cause", String(80), nullable=False),  # qualification, or sale:{id}
    Column("state", String(16), nullable=False),
    Column("held_reason", String(32)),
    Column("amount", Money),
    Column("currency", String(3)),
    Column("sale_id", String(40)),
    Column("due_at", UtcTime),
    Column("reason", Text),
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    UniqueConstraint("referred_id", "rule_key", "cause"),
    Index("ix_rewards_account", "account_id", "id"),
    Index(
        "ix_rewards_due",
        "due_at",
        sqlite_where=text("state = 'held' and due_at is not null"),
        postgresql_where=text("state = 'held' and due_at is not null"),
    ),
)

# --- events out (storage/events.py, storage/endpoints.py) ----------------------------------------

events = Table(
    "events",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("account_id", String(128), nullable=False),
    Column("person_id", String(40), index=True),
    Column("type", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("occurred_at", UtcTime, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("data", Json, nullable=False),
    Column("position", BigInteger, unique=True),  # given by the fan-out; null until then
    Index(
        "ix_events_unpositioned", "id", sqlite_where=text("position is null"), postgresql_where=text("position is null")
    ),
    Index("ix_events_occurred_at", "occurred_at"),
    Index("ix_events_account", "account_id", "position"),
)

counters = Table(
    "counters",
    metadata,
    Column("name", String(64), primary_key=True),  # events: the newest position; events_pruned: the newest one deleted
    Column("value", BigInteger, nullable=False),
)

endpoints = Table(
    "endpoints",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("account_id", String(128), index=True),  # null: the host's, all accounts
    Column("connection_id", String(40), index=True),  # owned by a connection (a subscription)
    Column("url", Text, nullable=False),
    Column("event_types", Json, nullable=False),
    Column("filters", Json),
    Column("subscription_key", String(64)),  # SHA-256 of owner, URL, types and filters: the same subscription is one
    Column("description", String(200), nullable=False),
    Column("state", String(16), nullable=False),
    Column("disabled_reason", String(64)),
    Column("failing_since", UtcTime),
    Column("last_position", BigInteger, nullable=False, server_default="0"),
    Column("previous_secret_until", UtcTime),
    Column("created_at", UtcTime, nullable=False),
    Column("removed_at", UtcTime),
    Index(
        "uq_endpoints_subscription_key",
        "subscription_key",
        unique=True,
        sqlite_where=text("subscription_key is not null and removed_at is null"),
        postgresql_where=text("subscription_key is not null and removed_at is null"),
    ),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("endpoint_id", ForeignKey("endpoints.id"), nullable=False),
    Column("event_id", String(40), nullable=False),
    Column("account_id", String(128), nullable=False),
    Column("state", String(16), nullable=False),
    Column("task_id", String(40)),
    Column("created_at", UtcTime, nullable=False),
    Column("finished_at", UtcTime),
    Column("error", Text),
    UniqueConstraint("endpoint_id", "event_id"),
    Index("ix_deliveries_account", "account_id", "id"),
    Index("ix_deliveries_state", "state", "id"),
    Index("ix_deliveries_endpoint", "endpoint_id", "state"),
    Index("ix_deliveries_created_at", "created_at"),
)

# --- requests ------------------------------------------------------------------------------------

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("scope", String(300), primary_key=True),  # account and campaign
    Column("key", String(255), primary_key=True),
    Column("body_hash", String(64), nullable=False),
    Column("answer", Json),
    Column("created_at", UtcTime, nullable=False),
    Index("ix_idempotency_keys_created_at", "created_at"),
)
