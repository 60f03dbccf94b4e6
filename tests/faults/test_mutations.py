"""The checks are proved: each promise that is broken turns a run red, by the word that it should."""

import asyncio
import os
import sys

import pytest

from .checker import Finding
from .forks import ROOT
from .mutations import MUTATIONS
from .stage import fork_server, open_stage

WRITES = 2
"""A contact and a lead."""


@pytest.fixture
async def stage(sqlite_url, tmp_path):
    async with fork_server() as forks, open_stage(sqlite_url, tmp_path, forks=forks, search_lag=20.0) as one:
        yield one


async def killed_before_each_commit(stage, mutations):
    """The first commits of a signup: what it stores of itself, and what follows from that."""
    for point in (1, 2):
        signup = stage.signup()
        await stage.die([signup], point=point, points="commits", mutations=mutations)
        await stage.make_good([signup])


async def answered_and_lost(stage, mutations):
    """The client never sees the answer and sends the same again, to a process that has the same fault."""
    signup = stage.signup()
    await stage.die([signup], mutations=mutations)
    await stage.die([signup], mutations=mutations)
    await stage.settle()


async def killed_after_each_write(stage, mutations):
    """The vendor has done it, and nobody knows; the next process looks, or does not."""
    writes = await stage.passed([stage.signup()], points="writes")
    assert len(writes) == WRITES
    for point in range(1, WRITES + 1):
        signup = stage.signup()
        assert await stage.die([signup], point=point, points="writes")
        await stage.later(11 + 31)
        for _ in range(2):
            await stage.die([], mutations=mutations)
            await stage.later(120)
        await stage.make_good([signup])


async def one_email_in_two_campaigns(stage, mutations):
    """Two pushes of one e-mail are due at the same time."""
    for _ in range(2):
        first = stage.signup()
        second = {**stage.signup(), "campaign": "autumn", "body": first["body"]}
        await stage.die([first, second], mutations=mutations)
        await stage.settle()


async def frozen_while_another_one_works(stage, mutations):
    """A process stands still after a write, its clock too, and goes on when another one has done everything.

    Not between its last check and its write: there no check of ours helps (``docs/promises.md``, *a frozen process*).
    """
    for point in range(1, WRITES + 1):
        assert await stage.freeze([stage.signup()], point=point, points="writes", mutations=mutations)


CASES = {
    "idempotency_key": (answered_and_lost, {"answered_otherwise"}),
    "person_key": (answered_and_lost, {"doubled"}),
    "find": (killed_after_each_write, {"doubled"}),
    "exclusive_key": (one_email_in_two_campaigns, {"doubled"}),
    "epoch": (frozen_while_another_one_works, {"doubled", "told_twice"}),
    "outbox": (killed_before_each_commit, {"unfinished", "unbalanced"}),  # last: what it loses is never finished
}


LATE_OWNERS = [
    "tests/storage/test_lanes.py::test_a_late_owner_changes_nothing[sqlite]",
    "tests/storage/test_lanes.py::test_the_same_owner_with_an_older_epoch_is_late_too[sqlite]",
    "tests/storage/test_worker.py::test_an_owner_that_lost_its_lane_saves_no_steps_and_finishes_nothing[sqlite]",
]
"""Tests that must fail when every owner is taken at its word."""


def test_every_mutation_has_its_case():
    assert CASES.keys() == MUTATIONS.keys()


async def test_without_the_epoch_the_tests_of_late_owners_fail():
    pytest_run = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pytest", "-p", "tests.faults.broken", "-p", "no:cacheprovider", "-n0", "-rf", "--tb=no",
        *LATE_OWNERS, cwd=ROOT, env={**os.environ, "GATEWAY_FAULTS_MUTATIONS": "epoch"}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said = (await pytest_run.communicate())[0].decode()
    failed = {line.split()[1] for line in said.splitlines() if line.startswith("FAILED")}
    assert failed == set(LATE_OWNERS), said


async def test_every_broken_promise_turns_the_run_red_and_kept_ones_do_not(stage):
    """One stage for all: what a mutation adds to the findings is its own."""
    for scenario, _ in {id(case[0]): case for case in CASES.values()}.values():
        await scenario(stage, [])
        assert (await stage.verdict()).findings == [], f"nothing is broken in {scenario.__name__}"
    before: list[Finding] = []
    for mutation, (scenario, words) in CASES.items():
        await scenario(stage, [mutation])
        found = (await stage.verdict()).findings
        assert words <= {one.word for one in found if one not in before}, f"{mutation}: {found}"
        before = found
