"""What polling a vendor's feed returns."""

import msgspec

from gateway_schemas.records import ContactSeen, RecordChange


class ChangePage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a feed.

    Attributes:
        changes: What changed, in any order; the same change may come again.
        contacts: Contacts noticed, for the contact index.
        checkpoint: To be stored with the page and given back; at most 16 KiB.
        more: Another page waits now; false: poll again at the feed's interval.
    """

    changes: list[RecordChange]
    checkpoint: str
    more: bool
    contacts: list[ContactSeen] = []
