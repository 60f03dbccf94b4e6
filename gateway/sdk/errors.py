"""What a plugin says to the host when something went wrong: the other half of the hook protocol.

::

    PluginError
    ├── ReauthRequired      credentials are refused: the lane is held, the host is told
    ├── RetryLater          not now: nothing was done, uses up no attempt
    │   └── OverBudget      by our own count of what the vendor allows: nothing was sent (the host raises it)
    ├── Rejected            refused for good: shown beside the mapping
    ├── MappingBroken       a mapped field, stage or option is gone: the setup needs attention
    ├── RecordGone          the record does not exist any more
    ├── OutcomeUnknown      the request left, no full answer came: it may have been done
    ├── InvalidSignature    an inbound call does not prove where it comes from
    ├── NotSupported        the vendor or this account cannot do that
    └── Misconfigured       our own settings are wrong (client id, app key)

``StepNamedTwice`` is none of them: the host raises it at a plugin that names two writes of a push alike.

Raise the narrowest. Say in the message what was tried, with which id, and what to do now.
Any other exception is a bug of the plugin: logged, retried with back-off, failed after the last attempt.
"""

import msgspec


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong with one field, in words for the person who can mend it.

    Attributes:
        field: Path of the field in our terms, for example ``mapping.title`` or ``person.email``.
        message: What is wrong and what to do.
        code: Stable word for programs, for example ``unknown_field``.
    """

    field: str
    message: str
    code: str = "invalid"


class PluginError(Exception):
    """Base of all that a plugin tells the host by raising."""


class ReauthRequired(PluginError):
    """The vendor refused the credentials; a person must authorise again."""


class RetryLater(PluginError):
    """The vendor asked to wait, or we must: nothing was done by this call.

    Args:
        message: What was refused and why.
        after_seconds: How long to wait.
        lane_wide: True when all calls of this vendor tenant must wait, not this one alone.
    """

    def __init__(self, message: str, *, after_seconds: float, lane_wide: bool = True) -> None:
        super().__init__(message)
        self.after_seconds = after_seconds
        self.lane_wide = lane_wide


class OverBudget(RetryLater):
    """Our own count says that the vendor allows no more now; nothing was sent."""


class Rejected(PluginError):
    """The vendor read the request and refused it for good."""

    def __init__(self, message: str, problems: list[Problem] | None = None) -> None:
        super().__init__(message)
        self.problems = problems or []


class MappingBroken(PluginError):
    """Fields, stages or options that a setup names are gone at the vendor.

    Args:
        message: What was refused.
        fields: Keys of the vendor's fields that are gone or changed.
    """

    def __init__(self, message: str, fields: list[str]) -> None:
        super().__init__(message)
        self.fields = fields


class RecordGone(PluginError):
    """The record is not there, or no longer visible to the connected user."""


class OutcomeUnknown(PluginError):
    """The request left and no full answer was read: the vendor may have done it."""


class InvalidSignature(PluginError):
    """An inbound call failed the vendor's signature or Basic auth."""


class NotSupported(PluginError):
    """This vendor, plan or account cannot do what was asked."""


class Misconfigured(PluginError):
    """The vendor refused our app itself: settings of the operator are wrong."""


class StepNamedTwice(Exception):
    """A push gave one name to two steps: the second record would have been taken for the first and never written.

    Args:
        step: The name.
    """

    def __init__(self, step: str) -> None:
        super().__init__(
            f"push.once({step!r}, …) was called twice in one push. A step is remembered by its name, so each record "
            f"needs a name of its own: for example {step + '_2'!r} for the second."
        )
        self.step = step
