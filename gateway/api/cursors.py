"""Cursors of lists: ``next`` of the page before. Another text is refused; it would begin anywhere."""

from typing import Annotated, Any

from litestar.params import Parameter

_TOLD = "`next` of the page before."


def _id(prefix: str) -> Any:
    """Return the cursor of a list whose entries have ids of ours (``columns.new_id``)."""
    return Parameter(pattern=rf"^{prefix}_[0-9a-z]{{26}}$", description=_TOLD)


AccountCursor = Annotated[str | None, Parameter(pattern=r"^[A-Za-z0-9._~-]{1,128}$", description=_TOLD)]
"""Accounts and campaigns are listed by the host's own ids."""

PersonCursor = Annotated[str | None, _id("per")]
RewardCursor = Annotated[str | None, _id("rew")]
EndpointCursor = Annotated[str | None, _id("end")]
ConnectionCursor = Annotated[str | None, _id("con")]
SyncCursor = Annotated[str | None, _id("syn")]

PlaceCursor = Annotated[str | None, Parameter(pattern=r"^[0-9a-z]{26}$", description=_TOLD)]
"""Deliveries of both sorts are merged by the end of their ids."""
