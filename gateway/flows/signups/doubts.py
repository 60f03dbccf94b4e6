"""Let a push wait while another one of the same e-mail has a step in doubt.

The contact that such a step may have made is linked to nobody yet, and the vendor's search may not show it: a push for
another campaign or role would make it a second time. The exclusive key of the tasks does not help, as it is free while
the push in doubt waits for its look. The rule:

- A push that is on its way settles its doubt itself: others wait until it has looked. Its attempts are bounded, and so
  is their wait.
- Nobody looks for a push that is parked or has ended for good (until it is released or replayed): others wait until the
  settle time has passed since its step began, and no longer. An erased person has no e-mail, so nobody waits.
- Of two pushes in doubt the one whose doubt is older goes first, so they never wait for each other; a push without a
  doubt of its own holds nobody up.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from gateway.flows.signups.once import Step
from gateway.storage.doubts import OtherPush
from gateway.storage.running import Retry

SOONEST_SECONDS = 1.0
"""How long to wait at least for a push that is due itself."""


def wait_for_others(
    person_id: str, steps: Mapping[str, Step], others: Sequence[OtherPush], *, settle_seconds: float, now: datetime
) -> Retry | None:
    """Return the wait for another push of the same e-mail that is in doubt, or ``None`` when this one may begin.

    Args:
        person_id: Whose push this is.
        steps: Its own steps.
        others: The pushes of other people with this e-mail at this vendor tenant.
        settle_seconds: After this long, what a call has done is visible at the vendor.
        now: The time.
    """
    mine = _in_doubt_since(steps.values())
    waits: list[datetime] = []
    for other in others:
        doubtful = [step for step in msgspec.convert(other.steps, dict[str, Step]).values() if step.in_doubt]
        since = _in_doubt_since(doubtful)
        if since is None or (mine is not None and (mine, person_id) < (since, other.person_id)):
            continue
        settled = max(step.begun_at for step in doubtful) + timedelta(seconds=settle_seconds)
        if other.due_at is not None:
            waits.append(max(settled, other.due_at))
        elif now < settled:
            waits.append(settled)
    if not waits:
        return None
    left = (max(waits) - now).total_seconds()
    return Retry(
        error="another signup with this e-mail may have been written; waiting until that is known",
        after_seconds=max(left, SOONEST_SECONDS),
        counts=False,
    )


def _in_doubt_since(steps: Iterable[Step]) -> datetime | None:
    return min((step.since for step in steps if step.in_doubt and step.since is not None), default=None)
