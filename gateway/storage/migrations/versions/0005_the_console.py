"""Sessions of operators in the console, and indexes for what it counts."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "operator_sessions",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("key_hash", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operator_sessions")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_operator_sessions_token_hash")),
    )
    with op.batch_alter_table("people", schema=None) as batch_op:
        batch_op.create_index("ix_people_campaign", ["account_id", "campaign_id", "role", "state"], unique=False)
        batch_op.create_index(
            "ix_people_qualified_at",
            ["account_id", "qualified_at"],
            unique=False,
            sqlite_where=sa.text("qualified_at is not null"),
            postgresql_where=sa.text("qualified_at is not null"),
        )


def downgrade() -> None:
    with op.batch_alter_table("people", schema=None) as batch_op:
        batch_op.drop_index("ix_people_qualified_at")
        batch_op.drop_index("ix_people_campaign")
    op.drop_table("operator_sessions")
