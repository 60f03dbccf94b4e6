"""Alembic's environment: runs the revisions on the connection that ``gateway.storage.migrate`` hands in.

Column types are written into a revision as plain SQLAlchemy types: a revision must not change when our code does.
"""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext

from gateway.storage.columns import Json, Money, UtcTime
from gateway.storage.tables import metadata

_PLAIN = {UtcTime: "sa.BigInteger()", Json: "sa.Text()", Money: "sa.String(length=40)"}


def plain_types(kind: str, item: Any, autogen: AutogenContext) -> str | Literal[False]:
    """Render our own column types by what the database stores."""
    return _PLAIN.get(type(item), False) if kind == "type" else False


connection = context.config.attributes.get("connection")
if connection is None:
    raise SystemExit("run `gateway migrate`, or `python -m gateway.storage.migrate MESSAGE` to write a revision")
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=connection.dialect.name == "sqlite",  # SQLite alters a table by copying it
    render_item=plain_types,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
