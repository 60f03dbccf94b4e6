"""One signup, killed at every point of its way: each await, each statement, each call to the vendor."""

import os

import pytest

from .crms import CRMS
from .stage import fork_server, open_stage

WHOLE = os.environ.get("GATEWAY_FAULTS") == "whole"
QUICK = 8
"""Points of the quick cut on each database, spread evenly; ``just faults`` takes all of them."""


@pytest.fixture(params=sorted(CRMS) if WHOLE else ["pipedrive"])
async def stage(request, database_url, tmp_path):
    async with fork_server() as forks, open_stage(database_url, tmp_path, forks=forks, crm=request.param) as one:
        yield one


def chosen(points, number):
    """All points, or so many of them that are spread evenly, the last one included."""
    if WHOLE:
        return range(1, points + 1)
    return sorted({round(1 + index * (points - 1) / (number - 1)) for index in range(number)})


async def test_a_signup_that_is_killed_anywhere_is_in_the_crm_once(stage):
    await stage.die([stage.signup()])  # what is read once by each database is read
    await stage.settle()
    points = await stage.passed([stage.signup()])
    await stage.settle()
    assert (await stage.verdict()).findings == []
    for point in chosen(len(points), QUICK):
        signup = stage.signup()
        died = await stage.die([signup], point=point)
        await stage.make_good([signup])
        findings = (await stage.verdict()).findings
        assert findings == [], f"killed at {point}, {points[point - 1]} (died: {died})"
