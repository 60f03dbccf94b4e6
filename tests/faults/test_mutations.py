"""The checks are proved: each promise that is broken turns a run red, by the word that it should."""

import pytest

from .checker import Finding
from .mutations import MUTATIONS
from .stage import fork_server, open_stage


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
    points = await stage.passed([stage.signup()], points="calls")
    writes = [number for number, name in enumerate(points, 1) if name.startswith("after call: POST /api")]
    assert writes
    for point in writes:
        signup = stage.signup()
        assert await stage.die([signup], point=point, points="calls")
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
    """A process stops for longer than its lease and goes on when everything has been done.

    Not between its last check and its write: there no check of ours helps (``docs/promises.md``, *a frozen process*).
    """
    points = await stage.passed([stage.signup()], points="outside")
    writes = [number for number, name in enumerate(points, 1) if name.startswith("after call: POST /api")]
    for point in writes:
        assert await stage.freeze([stage.signup()], point=point, points="outside", mutations=mutations)


CASES = {
    "idempotency_key": (answered_and_lost, {"answered_otherwise"}),
    "person_key": (answered_and_lost, {"doubled"}),
    "find": (killed_after_each_write, {"doubled"}),
    "exclusive_key": (one_email_in_two_campaigns, {"doubled"}),
    "outbox": (killed_before_each_commit, {"unfinished", "unbalanced"}),  # last: what it loses is never finished
}


KEPT_TWICE = {"epoch"}
"""Broken alone it doubles nothing in a run yet: ``tests/storage`` proves it by late owners."""


def test_every_mutation_has_its_case():
    assert CASES.keys() == MUTATIONS.keys() - KEPT_TWICE


async def test_a_process_that_was_frozen_changes_nothing_when_it_goes_on(stage):
    await frozen_while_another_one_works(stage, [])
    assert (await stage.verdict()).findings == []


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
