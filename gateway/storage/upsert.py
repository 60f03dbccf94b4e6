"""``INSERT … ON CONFLICT`` for both databases, and the one error of theirs that flows handle."""

from sqlalchemy.exc import IntegrityError

from gateway.storage.engine import insert

__all__ = ["AlreadyThere", "insert"]

AlreadyThere = IntegrityError
"""A unique index refused a row that another process wrote meanwhile; the transaction is rolled back."""
