"""What the answers of token endpoints mean, in all the shapes that vendors give them."""

import httpx
import pytest

from gateway.flows.connections.token_calls import refusal, split_scopes
from gateway.sdk.errors import Misconfigured, ReauthRequired


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, '{"error":"invalid_grant"}', ReauthRequired),
        (400, '{"success":false,"message":"Invalid grant: refresh_token is invalid"}', ReauthRequired),
        (400, "Invalid grant: authorization_code has expired", ReauthRequired),
        (400, '{"error":"invalid_grant","error_description":"Unknown client or token"}', ReauthRequired),
        (401, '{"error":"the refresh token was revoked"}', ReauthRequired),
        (400, '{"error":"Invalid client: unknown"}', Misconfigured),
        (401, '{"error":"invalid_client"}', Misconfigured),
        (400, '{"error":"unauthorized_client"}', Misconfigured),
        (400, "Invalid request: redirect_uri is not registered", Misconfigured),
        (400, "Unsupported grant type", Misconfigured),
        (400, "Missing parameter: grant_type", Misconfigured),
        (404, "", Misconfigured),
        (403, "<html>blocked</html>", Misconfigured),
    ],
)
def test_a_bad_grant_is_told_from_a_bad_app(status, body, error):
    assert type(refusal("toy", httpx.Response(status, text=body))) is error


@pytest.mark.parametrize(
    ("given", "scopes"),
    [
        (None, None),
        ("", []),
        ("base,deals:full", ["base", "deals:full"]),
        ("base deals:full", ["base", "deals:full"]),
        ("base, deals:full ", ["base", "deals:full"]),
        (["base"], ["base"]),
    ],
)
def test_scopes_are_split_at_commas_and_spaces(given, scopes):
    assert split_scopes(given) == scopes
