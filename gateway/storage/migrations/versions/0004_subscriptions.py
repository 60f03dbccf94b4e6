"""The same subscription of a connection is one endpoint."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

LIVE = sa.text("subscription_key is not null and removed_at is null")


def upgrade() -> None:
    op.add_column("endpoints", sa.Column("subscription_key", sa.String(length=64), nullable=True))
    op.create_index(
        "uq_endpoints_subscription_key",
        "endpoints",
        ["subscription_key"],
        unique=True,
        sqlite_where=LIVE,
        postgresql_where=LIVE,
    )


def downgrade() -> None:
    op.drop_index("uq_endpoints_subscription_key", "endpoints", sqlite_where=LIVE, postgresql_where=LIVE)
    op.drop_column("endpoints", "subscription_key")
