"""What a run tells its CRMs to do, held for each of them."""

import pytest

from .crms import CRMS


@pytest.mark.parametrize("key", CRMS)
def test_webhooks_to_lose_do_not_add_up_until_none_arrives(key):
    made = CRMS[key]
    crm = made("http://127.0.0.1:1", "http://127.0.0.1:1/back")
    for _ in range(3):
        crm.webhook_chaos(copies=1, newest_first=False, drop=2)
    assert crm.sandbox.outbox.drop_next == 2
