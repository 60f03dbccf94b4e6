"""What the integration says of itself agrees with what it does; and the app's packages are pinned."""

import json
from pathlib import Path

from gateway.plugins import Integration
from gateway_schemas.manifest import AccountKey
from gateway_zapier import plugin
from gateway_zapier.manifest import MANIFEST, SCOPE
from gateway_zapier.routes import ROUTES
from gateway_zapier.settings import ZapierSettings
from gateway_zapier.triggers import TRIGGERS

APP = Path(__file__).parents[1] / "zapier-app"


def test_it_is_an_automation_whose_key_is_made_by_connecting():
    integration = Integration("zapier", plugin)
    assert integration.capabilities == {"Describes", "Connects", "Observes", "Serves"}
    assert (MANIFEST.category, MANIFEST.key, SCOPE) == ("automation", "zapier", "zapier")
    assert isinstance(MANIFEST.auth, AccountKey)
    assert MANIFEST.auth.instructions


def test_it_needs_no_setting():
    integration = Integration("zapier", plugin)
    integration.configure({})
    assert integration.settings == ZapierSettings(target_hosts=["hooks.zapier.com"], environment="production")
    integration.configure({"GATEWAY_ZAPIER_TARGET_HOSTS": "a.example, b.example"})
    assert integration.settings.target_hosts == ["a.example", "b.example"]
    assert {one.name.lower() for one in MANIFEST.settings} == set(ZapierSettings.__struct_fields__)


def test_every_route_asks_for_the_one_scope_and_says_what_it_does():
    assert {one.scope for one in ROUTES} == {SCOPE}
    assert all(one.summary for one in ROUTES)
    assert len({(one.method, one.path) for one in ROUTES}) == len(ROUTES)


def test_the_app_has_a_file_for_each_trigger_action_and_search():
    frozen = json.loads((APP / "frozen-keys.json").read_text())
    dropdowns = {"campaign_list", "reward_list", "field_list"}
    assert set(frozen["triggers"]) == {*TRIGGERS, *dropdowns}
    for kind in ("triggers", "creates", "searches"):
        assert {path.stem for path in (APP / kind).glob("*.js")} == set(frozen[kind])
    paths = {one.path for one in ROUTES}
    assert {f"/actions/{key}" for key in frozen["creates"]} == {one for one in paths if one.startswith("/actions/")}
    assert {f"/search/{key}" for key in frozen["searches"]} == {one for one in paths if one.startswith("/search/")}


def test_the_packages_are_pinned_and_come_from_wherever_npm_is_told():
    package = json.loads((APP / "package.json").read_text())
    lock = json.loads((APP / "package-lock.json").read_text())
    assert package["dependencies"] == {"zapier-platform-core": "19.1.0"}
    assert lock["packages"]["node_modules/zapier-platform-core"]["version"] == "19.1.0"
    assert all(one.get("integrity") for name, one in lock["packages"].items() if name)
    assert not any("resolved" in one for one in lock["packages"].values())
    assert "scripts" not in {key for one in lock["packages"].values() for key in one}
    assert not any(one.get("hasInstallScript") for one in lock["packages"].values())
