"""Cursors of lists: ``next`` of the page before. Another text is refused; it would begin anywhere."""

from typing import Annotated

from litestar.params import Parameter

_TOLD = "`next` of the page before."

AccountCursor = Annotated[str | None, Parameter(pattern=r"^[A-Za-z0-9._~-]{1,128}$", description=_TOLD)]
"""Accounts and campaigns are listed by the host's own ids."""

PersonCursor = Annotated[str | None, Parameter(pattern=r"^per_[0-9a-z]{26}$", description=_TOLD)]
RewardCursor = Annotated[str | None, Parameter(pattern=r"^rew_[0-9a-z]{26}$", description=_TOLD)]
EndpointCursor = Annotated[str | None, Parameter(pattern=r"^end_[0-9a-z]{26}$", description=_TOLD)]
ConnectionCursor = Annotated[str | None, Parameter(pattern=r"^con_[0-9a-z]{26}$", description=_TOLD)]
SyncCursor = Annotated[str | None, Parameter(pattern=r"^syn_[0-9a-z]{26}$", description=_TOLD)]

PlaceCursor = Annotated[str | None, Parameter(pattern=r"^[0-9a-z]{26}$", description=_TOLD)]
"""Deliveries of both sorts are merged by the end of their ids."""
