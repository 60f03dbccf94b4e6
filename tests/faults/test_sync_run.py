"""A quick cut of the contact sync under kills; ``just faults`` does it with thousands of contacts on each database."""

import msgspec

from .run import shown
from .sync_run import QUICK, run

PROCESSES = {"sqlite": ("serve",), "postgresql": ("serve", "worker")}


async def test_every_contact_is_one_referrer_with_its_link_although_processes_are_killed(database_url, tmp_path):
    database = database_url.partition(":")[0]
    options = msgspec.structs.replace(QUICK, database=database, processes=PROCESSES[database])
    result = await run(options, tmp_path, database_url)
    assert result.verdict.findings == [], shown(result)
    assert result.report["kills"] == QUICK.kills
    assert result.report["attempts lost with their process"] > 0, "no kill struck anything"
