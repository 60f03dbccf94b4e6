"""Which changes in Pipedrive may qualify a referral: always facts of one deal, however it belongs to the referral."""

from gateway_schemas.manifest import Parameter, Requirement, Trigger

_PIPELINE = Parameter(key="pipeline", label="Pipeline", source="pipelines")
_STAGE = Parameter(key="stage", label="Stage", source="stages", parent="pipeline", ordered=True)

_CONVERTED = Requirement(fact="converted", label="The lead was converted into a deal")
_REACHED = Requirement(fact="stage", parameter="stage", label="The deal reached the stage")
_WON = Requirement(fact="won", label="The deal was won")

TRIGGERS = [
    Trigger(
        key="lead_converted",
        label="A lead converts into a deal",
        record_kind="deal",
        targets=["lead"],
        requires=[_CONVERTED],
        through={"lead": ["converted"]},
        reversed_by=["lost", "deleted"],
    ),
    Trigger(
        key="lead_converted_and_stage",
        label="A lead converts into a deal and the deal moves to a stage",
        record_kind="deal",
        targets=["lead"],
        requires=[_CONVERTED, _REACHED],
        through={"lead": ["converted"]},
        parameters=[_PIPELINE, _STAGE],
        reversed_by=["lost", "deleted"],
    ),
    Trigger(
        key="deal_stage",
        label="A deal moves to a stage",
        record_kind="deal",
        targets=["contact", "lead", "deal"],
        requires=[_REACHED],
        through={"contact": ["contact"], "lead": ["converted"], "deal": ["created"]},
        parameters=[_PIPELINE, _STAGE],
        reversed_by=["lost", "deleted"],
    ),
    Trigger(
        key="deal_won",
        label="A deal is marked as won",
        record_kind="deal",
        targets=["contact", "lead", "deal"],
        requires=[_WON],
        through={"contact": ["contact"], "lead": ["converted"], "deal": ["created"]},
        reversed_by=["open", "lost", "deleted"],
    ),
]
