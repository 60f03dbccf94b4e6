"""Which changes in ServiceTitan may qualify a referral: always facts of one job, the one that the booking became.

Source: ``VENDOR.md``, chapters 7.3 (a booking has become a job when it names one) and 8 (job statuses).
"""

from gateway_schemas.manifest import Parameter, Requirement, Trigger
from gateway_schemas.records import Option

JOB_STATUSES = [
    Option(value="Scheduled", label="Scheduled", rank=0),
    Option(value="Dispatched", label="Dispatched", rank=1),
    Option(value="InProgress", label="In Progress", rank=2),
    Option(value="Completed", label="Completed", rank=3),
    # Every job may be held or canceled at any time, so neither proves anything about the others.
    Option(value="Hold", label="Hold"),
    Option(value="Canceled", label="Canceled"),
]
"""All six, in the order in which a job passes them; a status passed between two looks is proven by a later one."""

_BOOKED = Requirement(fact="converted", label="The booking became a job")
_REACHED = Requirement(fact="status", parameter="status", label="The job reached the status")
_GONE = ["canceled", "deleted"]

TRIGGERS = [
    Trigger(
        key="booking_to_job",
        label="A booking becomes a job",
        record_kind="job",
        targets=["booking"],
        requires=[_BOOKED],
        through={"booking": ["converted"]},
        reversed_by=_GONE,
    ),
    Trigger(
        key="job_status",
        label="A booking becomes a job and the job reaches a status",
        record_kind="job",
        targets=["booking"],
        requires=[_BOOKED, _REACHED],
        through={"booking": ["converted"]},
        parameters=[Parameter(key="status", label="Job status", source="job_statuses", ordered=True)],
        reversed_by=_GONE,
    ),
]


def status_named(word: str | None) -> str | None:
    """Return a job status as the options spell it; ``None`` for one that we do not know.

    The vendor's answers carry a plain string, so case and spaces are not counted on.
    """
    wanted = "".join((word or "").split()).casefold()
    if wanted == "cancelled":
        wanted = "canceled"
    return next((one.value for one in JOB_STATUSES if one.value.casefold() == wanted), None)
