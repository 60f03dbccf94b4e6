"""The contact index, when the host was reminded of a connection that waits, and links by the time they were made."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "contact_indexes",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account_id", sa.String(length=128), nullable=False),
        sa.Column("integration", sa.String(length=64), nullable=False),
        sa.Column("identity", sa.String(length=128), nullable=False),
        sa.Column("begun_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contact_indexes")),
        sa.UniqueConstraint(
            "account_id", "integration", "identity", name=op.f("uq_contact_indexes_account_id_integration_identity")
        ),
    )
    op.create_table(
        "contact_walks",
        sa.Column("index_id", sa.String(length=40), nullable=False),
        sa.Column("feed", sa.String(length=64), nullable=False),
        sa.Column("contacts_read", sa.BigInteger(), nullable=False),
        sa.Column("done_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["index_id"], ["contact_indexes.id"], name=op.f("fk_contact_walks_index_id_contact_indexes")
        ),
        sa.PrimaryKeyConstraint("index_id", "feed", name=op.f("pk_contact_walks")),
    )
    op.create_table(
        "seen_contacts",
        sa.Column("index_id", sa.String(length=40), nullable=False),
        sa.Column("record_id", sa.String(length=128), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("merged_into", sa.String(length=128), nullable=True),
        sa.ForeignKeyConstraint(
            ["index_id"], ["contact_indexes.id"], name=op.f("fk_seen_contacts_index_id_contact_indexes")
        ),
        sa.PrimaryKeyConstraint("index_id", "record_id", name=op.f("pk_seen_contacts")),
    )
    op.create_table(
        "seen_emails",
        sa.Column("index_id", sa.String(length=40), nullable=False),
        sa.Column("email_hash", sa.String(length=64), nullable=False),
        sa.Column("record_id", sa.String(length=128), nullable=False),
        sa.ForeignKeyConstraint(
            ["index_id"], ["contact_indexes.id"], name=op.f("fk_seen_emails_index_id_contact_indexes")
        ),
        sa.PrimaryKeyConstraint("index_id", "email_hash", "record_id", name=op.f("pk_seen_emails")),
    )
    with op.batch_alter_table("seen_emails", schema=None) as batch_op:
        batch_op.create_index("ix_seen_emails_record", ["index_id", "record_id", "email_hash"], unique=False)
    with op.batch_alter_table("links", schema=None) as batch_op:
        batch_op.create_index("ix_links_created_at", ["created_at"], unique=False)
    with op.batch_alter_table("connections", schema=None) as batch_op:
        batch_op.add_column(sa.Column("reminded_at", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("connections", schema=None) as batch_op:
        batch_op.drop_column("reminded_at")
    with op.batch_alter_table("links", schema=None) as batch_op:
        batch_op.drop_index("ix_links_created_at")
    for table in ("seen_emails", "seen_contacts", "contact_walks", "contact_indexes"):
        op.drop_table(table)
