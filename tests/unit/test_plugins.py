"""Discovery: what is found, what is quarantined, and that no call reaches another plugin."""

import types
from importlib.metadata import EntryPoint

import pytest

from gateway import hookimpl
from gateway.plugins import Integration, discover
from gateway.sdk.errors import OutcomeUnknown, Rejected
from gateway_schemas.manifest import ConnectStep, CredentialHeader, Credentials, Manifest, NoAuth, StepField


def manifest(key="toy", **changes):
    values = {
        "key": key,
        "name": key.title(),
        "category": "crm",
        "spec_version": 1,
        "logo_svg": "<svg/>",
        "summary": "A toy.",
        "auth": NoAuth(),
        "connect_steps": [],
    }
    return Manifest(**{**values, **changes})


def plugin(key="toy", *, describe=None, **hooks):
    module = types.ModuleType(key)
    described = describe or (lambda: manifest(key))
    module.describe = hookimpl(
        types.FunctionType(described.__code__, described.__globals__, "describe", None, described.__closure__)
    )
    for name, function in hooks.items():
        setattr(module, name, hookimpl(function, specname=name))
    return module


class Point(EntryPoint):
    """An entry point that loads what the test gives it."""

    made = {}

    def load(self):
        loaded = self.made[self.value]
        if isinstance(loaded, Exception):
            raise loaded
        return loaded


def point(name, loaded, value=None):
    value = value or f"{name}_{len(Point.made)}"
    Point.made[value] = loaded
    return Point(name, value, "gateway.plugins")


def test_capabilities_are_those_of_the_hooks_that_are_implemented():
    def push_signup(connection, push):
        raise NotImplementedError

    assert Integration("toy", plugin(push_signup=push_signup)).capabilities == {"Describes", "TakesSignups"}


def test_naming_messages_offers_no_capability_by_itself():
    def webhook_id(request):
        raise NotImplementedError

    def read_app_call(settings, request):
        raise NotImplementedError

    found = Integration("toy", plugin(webhook_id=webhook_id, read_app_call=read_app_call)).capabilities
    assert found == {"Describes", "AppCalls"}


def test_a_plugin_takes_only_the_parameters_that_it_names():
    def list_options(source):
        return [source]

    one = Integration("toy", plugin(list_options=list_options))
    assert one.hooks.list_options(connection=None, source="stages", parent=None) == ["stages"]


def test_a_call_reaches_no_other_plugin():
    calls = []

    def verify_webhook(request):
        calls.append("one")

    def verify_other(request):
        calls.append("two")

    first = Integration("one", plugin("one", verify_webhook=verify_webhook))
    Integration("two", plugin("two", verify_webhook=verify_other))
    first.hooks.verify_webhook(connection=None, request=None)
    assert calls == ["one"]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (ImportError("no module named acme_client"), "ImportError: no module named acme_client"),
        (SyntaxError("invalid syntax"), "SyntaxError"),
        (types.ModuleType("empty"), "implements no describe"),
        (plugin("toy", push_singup=lambda connection, push: None), "push_singup"),
        (plugin("toy", list_fields=lambda connection, kind: []), "kind"),
        (plugin("toy", describe=lambda: manifest("toy", spec_version=99)), "hook spec 99; this gateway runs 1"),
        (plugin("toy", describe=lambda: manifest("other")), "'other'"),
        (plugin("toy", describe=lambda: "a string"), "not a Manifest"),
    ],
    ids=[
        "import",
        "syntax",
        "no-describe",
        "misspelt-hook",
        "unknown-parameter",
        "spec-version",
        "other-key",
        "no-manifest",
    ],
)
def test_a_broken_plugin_is_quarantined_with_the_reason_and_the_others_serve(broken, reason):
    registry = discover([point("toy", broken), point("good", plugin("good", describe=lambda: manifest("good")))])
    assert [one.key for one in registry] == ["good"]
    assert [one.key for one in registry.quarantined] == ["toy"]
    assert reason in registry.quarantined[0].reason


def with_header(**changes):
    header = CredentialHeader(**{"name": "X-Api-Key", "field": "api_key", **changes})
    form = ConnectStep(key="key", kind="form", title="Key", fields=[StepField(key="api_key", label="API key")])
    return {"auth": Credentials(headers=[header]), "connect_steps": [form]}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (with_header(field="key"), "'X-Api-Key' holds 'key'; the connect forms ask for: api_key"),
        (with_header(name="X Api Key"), "'X Api Key' is no name of a header"),
        (with_header(name=""), "'' is no name of a header"),
        (with_header(prefix="Bearer\r\n"), "the prefix of header 'X-Api-Key' has characters"),
        (with_header(name="Host"), "'Host' is named twice, or is one that the host sends itself"),
        (
            with_header()
            | {
                "auth": Credentials(
                    headers=[CredentialHeader(name=name, field="api_key") for name in ("X-Key", "x-key")]
                )
            },
            "'x-key' is named twice",
        ),
        (
            with_header()
            | {
                "auth": Credentials(
                    token_path="/token", headers=[CredentialHeader(name="Authorization", field="api_key")]
                )
            },
            "'Authorization' is named twice, or is one that the host sends itself",
        ),
    ],
)
def test_headers_for_credentials_that_cannot_be_are_refused(changes, reason):
    (broken,) = discover([point("toy", plugin("toy", describe=lambda: manifest("toy", **changes)))]).quarantined
    assert reason in broken.reason


@pytest.mark.parametrize("changes", [{}, {"name": "Authorization", "prefix": "Bearer "}])
def test_a_header_for_a_pasted_value_is_taken(changes):
    described = manifest("toy", **with_header(**changes))
    assert [one.key for one in discover([point("toy", plugin("toy", describe=lambda: described))])] == ["toy"]


def test_two_distributions_with_one_name_are_both_refused_by_name():
    registry = discover([point("toy", plugin()), point("toy", plugin())])
    assert list(registry) == []
    assert len(registry.quarantined) == 2
    assert "two distributions bring 'toy'" in registry.quarantined[0].reason


def test_missing_settings_are_kept_and_shown_not_raised():
    import msgspec

    class Needs(msgspec.Struct):
        client_id: str

    registry = discover([point("toy", plugin(settings_type=lambda: Needs))]).configure({})
    (one,) = registry
    assert one.settings is None
    assert "GATEWAY_TOY_CLIENT_ID is not set" in one.settings_error
    registry.configure({"GATEWAY_TOY_CLIENT_ID": "abc"})
    assert one.settings == Needs(client_id="abc")
    assert one.settings_error is None


async def test_a_hook_that_takes_too_long_leaves_its_outcome_unknown():
    import asyncio

    with pytest.raises(OutcomeUnknown, match="toy: no answer"):
        await Integration("toy", plugin()).call(asyncio.Event().wait(), timeout_seconds=0)


async def test_what_a_plugin_says_passes_through_unchanged():
    async def refused():
        raise Rejected("no such stage")

    with pytest.raises(Rejected, match="no such stage"):
        await Integration("toy", plugin()).call(refused(), timeout_seconds=5)


async def test_a_bug_of_a_plugin_is_not_dressed_up_as_an_answer_of_the_vendor():
    async def buggy():
        raise KeyError("data")

    with pytest.raises(KeyError):
        await Integration("toy", plugin()).call(buggy(), timeout_seconds=5)
