"""A hundred thousand people, written straight into SQLite: for how long pages take, not for what they say."""

import sqlite3
import time

from gateway.storage.columns import new_id


def fill(conn: sqlite3.Connection, account: str, campaign: str, number: int) -> str:
    """Put people into a campaign, spread over the last thirty days; return the id of one of them."""
    columns = [row[1] for row in conn.execute("PRAGMA table_info(people)")]
    now = int(time.time() * 1_000_000)
    span = 30 * 86_400 * 1_000_000
    ids = sorted(new_id("per") for _ in range(number))

    def row(index: int) -> list[object]:
        at = now - span + span * index // number
        referrer = index % 3 == 0
        qualified = not referrer and index % 10 == 1
        values: dict[str, object] = {
            "id": ids[index], "account_id": account, "campaign_id": campaign,
            "role": "referrer" if referrer else "referred", "email": f"p{index}@crowd.test",
            "email_hash": f"{index:064x}", "first_name": "Person", "last_name": str(index), "fields": "{}",
            "code": f"c{index}", "link": f"https://refer.example/c{index}", "signed_up": 1, "test": 0,
            "state": None if referrer else "qualified" if qualified else "pending",
            "crm": "refused" if index % 50 == 7 else "linked", "crm_since": at, "base_referrals": 0,
            "base_qualified": 0, "referrals": 0, "qualified": 0, "qualified_at": at if qualified else None,
            "manual": 0, "sequence": 0, "signed_up_at": at, "accepted_at": at, "created_at": at, "updated_at": at,
        }  # fmt: skip
        return [values.get(name) for name in columns]

    marks = ", ".join("?" for _ in columns)
    with conn:
        conn.executemany(f"INSERT INTO people VALUES ({marks})", (row(index) for index in range(number)))
        conn.execute("ANALYZE")
    return ids[number // 2]
