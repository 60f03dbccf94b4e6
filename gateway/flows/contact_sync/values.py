"""What a sync writes back to a contact: the newest link and counts, fitted to their fields. Pure."""

import hashlib
from collections.abc import Sequence

import msgspec

from gateway.sdk.values import Locality, TooLong, Unfit, fit
from gateway_schemas.base import FieldValue
from gateway_schemas.records import Field
from gateway_schemas.sync import WriteBack

NOWHERE = Locality(currency="EUR", country=None, timezone="UTC")
"""Links, codes and counts depend on no locality."""


class Newest(msgspec.Struct, frozen=True):
    """What a referrer has now."""

    code: str | None
    link: str | None
    referrals: int
    qualified: int

    def of(self, source: str) -> FieldValue:
        """Return the value of a source of the write-back."""
        match source:
            case "person.link":
                return self.link
            case "person.code":
                return self.code
            case "person.referral_count":
                return self.referrals
            case "person.converted_referral_count":
                return self.qualified
        return None


class Unwritable(Exception):
    """A value does not fit its field; the message names the field and says why."""


def to_write(rows: Sequence[WriteBack], fields: dict[str, Field], newest: Newest) -> dict[str, FieldValue]:
    """Return the values of a contact's fields; empty while there is no link.

    Raises:
        Unwritable: A link is too long for its field, for example.
    """
    if newest.link is None:
        return {}
    values: dict[str, FieldValue] = {}
    for row in rows:
        field = fields.get(row.field)
        if field is None:
            continue
        try:
            fitted = fit(newest.of(row.source), field, NOWHERE)
        except (TooLong, Unfit) as error:
            raise Unwritable(f"{field.label}: {error}") from error
        if fitted is not None:
            values[row.field] = fitted
    return values


def refused(digest: str) -> str:
    """Return the mark of values that the CRM refused, or that fit no field: nobody has them; 32 characters."""
    return f"!{digest[1:]}"


def unwritable(error: Unwritable) -> str:
    """Return the mark of values that fit no field, by what does not fit."""
    return refused(digest({"": str(error)}))


def digest(values: dict[str, FieldValue]) -> str:
    """Return a hash by which two sets of values are compared; 32 characters."""
    return hashlib.blake2b(msgspec.json.encode(values, order="sorted"), digest_size=16).hexdigest()
