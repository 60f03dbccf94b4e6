"""The checker of a contact sync finds each thing that must not be."""

import msgspec
import pytest

from .sync_checker import Referrer, SyncHistory, check_sync

ADA, BEN = (Referrer(email=f"{name}@x.example", link=f"https://r/{name}", records=[name]) for name in ("ada", "ben"))
GOOD = SyncHistory(
    contacts={"ada": ADA.email, "ben": BEN.email},
    shown={"ada": ADA.link, "ben": BEN.link},
    people=[ADA, BEN],
    told={ADA.email: 1, BEN.email: 1},
    writes={"ada": 2, "ben": 1},
    later={"ben": 1},
    changed=[BEN.email],
    imported=2,
    may_repeat=1,
)


def with_link(link):
    return msgspec.structs.replace(ADA, link=link)


def test_a_good_run_shows_nothing():
    assert check_sync(GOOD) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"people": [ADA]}, ["lost", "lost", "unwritten"]),
        ({"people": [ADA, BEN, BEN]}, ["doubled", "doubled"]),
        ({"people": [ADA, msgspec.structs.replace(BEN, records=["ben", "ada"])]}, ["doubled"]),
        ({"people": [ADA, msgspec.structs.replace(BEN, records=[])]}, ["lost"]),
        ({"people": [with_link(None), BEN]}, ["unwritten"]),
        ({"people": [with_link("https://r/other"), BEN]}, ["unwritten"]),
        ({"shown": {"ada": ADA.link}}, ["unwritten"]),
        ({"told": {ADA.email: 1}}, ["untold"]),
        ({"told": {ADA.email: 2, BEN.email: 1}}, ["told_twice"]),
        ({"writes": {"ada": 3, "ben": 1}}, ["written_again"]),
        ({"later": {"ben": 2}}, ["written_again"]),
        ({"later": {"ada": 1, "ben": 1}}, ["written_again"]),
        ({"later": {}}, ["unwritten"]),
        ({"imported": 1}, ["miscounted"]),
    ],
)
def test_what_must_not_be_is_found(changes, words):
    assert [one.word for one in check_sync(msgspec.structs.replace(GOOD, **changes))] == words
