"""A quick cut of the long run: real processes, SIGKILL under load, a vendor and a receiver that fail.

``just faults`` does the same with 10,000 signups and 100 kills on each database. Here it takes half a minute or more:
it waits for leases, settle times and back-offs. ``python -m tests.faults.run`` shows where a run stands.
"""

import msgspec

from .process import Times
from .run import Options, run, shown

SIGNUPS, KILLS = 20, 3
QUICK = Times(lease=4, settle=6, feed=600, redelivery=0.02, retry=0.1)
PROCESSES = {"sqlite": ("serve",), "postgresql": ("serve", "serve", "worker")}


async def test_what_was_accepted_is_in_the_crm_once_although_processes_are_killed(database_url, tmp_path):
    database = database_url.partition(":")[0]
    options = Options(
        database=database,
        processes=PROCESSES[database],
        signups=SIGNUPS,
        kills=KILLS,
        accounts=2,
        callers=8,
        every=0.5,
        absurd=0.0,
        buys=0.0,
        times=QUICK,
        search_lag=3.0,
        patience=300.0,
        quiet=True,
    )
    result = await run(options, tmp_path, database_url)
    assert result.verdict.findings == [], shown(result)
    assert result.verdict.places == {"delivered": SIGNUPS}
    assert result.report["kills"] == KILLS


async def test_bookings_stand_once_and_who_bought_qualifies_although_processes_are_killed(sqlite_url, tmp_path):
    options = Options(
        crm="servicetitan",
        signups=20,
        kills=2,
        accounts=2,
        callers=8,
        every=0.5,
        absurd=0.0,
        buys=0.5,
        times=msgspec.structs.replace(QUICK, feed=10),  # a webhook that is lost is made good by the feeds
        search_lag=3.0,
        patience=300.0,
        quiet=True,
    )
    result = await run(options, tmp_path, sqlite_url)
    assert result.verdict.findings == [], shown(result)
    assert result.verdict.places == {"delivered": 20}
    assert result.report["kills"] == 2
