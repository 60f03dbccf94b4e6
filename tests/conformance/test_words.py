"""What a broken rule says: enough for its author to find the fault."""

import asyncio

from gateway.sdk.errors import Problem, Rejected
from gateway.testing.conformance.run import RULES, check

from .toy import subject  # isort: skip - makes the scaffold importable
from gateway_acme import plugin


def text_of(rule, **hooks):
    return asyncio.run(check(next(one for one in RULES if one.key == rule), subject(lambda: hooks))).text


def test_a_failing_push_tells_its_last_error_without_addresses():
    async def push_signup(connection, push):
        return push.values["contact"][f"address of {push.email}"]

    found = text_of("pushes_once", push_signup=push_signup)
    assert "the signup is waiting, not linked, after 3:00:00; its timeline ends: Signed up" in found
    assert found.endswith("; the last error of its attempts: KeyError: 'address of …@…'")


def test_a_wrong_field_that_is_not_named_is_told_with_what_came():
    def with_problems(*fields):
        async def verify_connection(connection, step):
            try:
                return await plugin.verify_connection(connection, step)
            except Exception as error:
                raise Rejected("It is wrong.", [Problem(field=one, message="Wrong.") for one in fields]) from error

        return text_of("refuses_wrong_credentials", verify_connection=verify_connection)

    wanted = "the field that is wrong is not named: it is 'values.client_id', and came "
    assert wanted + "'client_id', 'values.secret'; raise Rejected(" in with_problems("client_id", "values.secret")
    assert "it must be refused with 422: raise Rejected(…, [Problem(field='values.client_id', …)])" in with_problems()
