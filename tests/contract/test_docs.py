"""The documentation says what the code does: hooks, settings, problem codes, commands, links."""

import inspect
import re
from pathlib import Path

import httpx
import pytest

from docs import sdk_page
from gateway import hookspecs
from gateway.cli import cli
from gateway.errors import PROBLEMS
from gateway.plugins import discover, hooks_of
from gateway.sdk.http import error_for
from gateway.settings import Settings
from gateway.testing.conformance.run import RULES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md"), *(ROOT / "plugins").glob("*/README.md")])


def text(name):
    return (DOCS / name).read_text()


def signature(hook):
    prefix = "async " if inspect.iscoroutinefunction(hook) else ""
    parameters = [name for name in inspect.signature(hook).parameters if name != "self"]
    return f"### `{prefix}{hook.__name__}({', '.join(parameters)})`"


@pytest.mark.parametrize("capability", hookspecs.CAPABILITIES, ids=lambda one: one.__name__)
def test_each_hook_has_a_heading_with_its_exact_parameters(capability):
    section = text("hooks.md").partition(f"## {capability.__name__}\n")[2].partition("\n## ")[0]
    headings = re.findall(r"^### .*$", section, re.MULTILINE)
    assert headings == [signature(getattr(capability, name)) for name in hooks_of(capability)]


def test_capabilities_are_all_that_the_hooks_join():
    joined = {base for base in hookspecs.Hooks.__mro__ if base in hookspecs.CAPABILITIES}
    assert joined == set(hookspecs.CAPABILITIES)


def test_the_page_of_the_sdk_is_what_the_docstrings_say():
    assert sdk_page.page() == sdk_page.PAGE.read_text(), "`uv run python docs/sdk_page.py` writes it"


@pytest.mark.parametrize("capability", hookspecs.CAPABILITIES, ids=lambda one: one.__name__)
def test_each_type_that_a_hook_names_is_on_the_page_of_the_sdk(capability):
    """Those of the API are in its own reference."""
    described = set(re.findall(r"^### `(\w+)`$", text("sdk.md"), re.MULTILINE))
    said = [
        str(one) for name in hooks_of(capability) for one in inspect.get_annotations(getattr(capability, name)).values()
    ]
    named = {name for one in said for name in re.findall(r"gateway(?:_schemas)?[\w.]*\.(\w+)", one)}
    assert named - {"Event", "Endpoint"} <= described


def test_each_module_of_the_sdk_is_on_its_page():
    """A plugin needs no others: who renews tokens, what tests move, how the host maps."""
    modules = {f"gateway.sdk.{path.stem}" for path in (ROOT / "gateway/sdk").glob("*.py") if path.stem != "__init__"}
    apart = {"gateway.sdk.auth", "gateway.sdk.clock", "gateway.sdk.mapping"}
    assert modules - apart <= {module for module, _, _ in sdk_page.PARTS}


STATUSES = re.findall(r"^\| ([\d, ]+) \| `(\w+)` \| `(\w+)` \|$", text("hooks.md"), re.MULTILINE)


@pytest.mark.parametrize(("statuses", "read", "write"), STATUSES, ids=lambda one: one)
def test_each_status_becomes_what_the_page_says(statuses, read, write):
    for status in map(int, statuses.split(", ")):
        answer = httpx.Response(status, request=httpx.Request("POST", "https://crm.example/v1/deals"))
        said = [type(error_for(answer, "the call", safe=safe)).__name__ for safe in (True, False)]
        assert said == [read, write]


def test_the_page_says_what_the_usual_statuses_become():
    listed = {int(status) for statuses, _, _ in STATUSES for status in statuses.split(", ")}
    assert listed >= {400, 401, 402, 403, 404, 408, 409, 410, 422, 425, 429, 500, 502, 503, 504}


def test_each_setting_is_listed_and_no_other():
    listed = set(re.findall(r"^\| `(GATEWAY_[A-Z_]+)`", text("settings.md"), re.MULTILINE))
    assert listed == {f"GATEWAY_{name.upper()}" for name in Settings.__struct_fields__}


def test_each_setting_of_an_integration_is_in_its_readme():
    for integration in discover():
        readme = (ROOT / "plugins" / integration.key / "README.md").read_text()
        for name in integration.hooks.settings_type().__struct_fields__:
            assert f"`GATEWAY_{integration.key.upper()}_{name.upper()}`" in readme


def test_each_problem_is_listed_with_status_title_and_advice_and_no_other():
    listed = re.findall(r"^\| `([a-z_]+)` \| (\d{3}) \| (.*?) \| (.*?) \|$", text("api.md"), re.MULTILINE)
    assert listed == [(code, str(kind.status), kind.title, kind.advice) for code, kind in PROBLEMS.items()]


def test_each_command_is_described():
    listed = set(re.findall(r"^\| `gateway ([a-z-]+)", text("operations.md"), re.MULTILINE))
    assert listed == set(cli.commands)


def test_each_command_has_help():
    assert all(command.help for command in cli.commands.values())


def test_each_rule_of_the_conformance_suite_is_listed_with_its_tier_and_claim():
    listed = re.findall(r"^\| `([a-z_]+)` \| (bronze|silver|gold) \| (.*?) \|$", text("plugins.md"), re.MULTILINE)
    assert listed == [(rule.key, rule.tier, rule.title) for rule in RULES]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_relative_link_leads_somewhere(page):
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)\s]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        found = page.parent / path
        assert found.exists(), f"{page.name} links to {target}"
        if anchor and found.suffix == ".md":
            headings = re.findall(r"^#+ (.*)$", found.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
            assert anchor in anchors, f"{page.name} links to {target}"


def test_the_readme_has_the_two_commands():
    blocks = re.findall(r"```console\n\$ (.*?)\n```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert blocks[:2] == ["pip install uv && uv run gateway demo", "pip install uv && uv run pytest -n auto"]
    assert "uv run --locked gateway demo" in (ROOT / ".ci/run").read_text()
    assert "uv run --locked pytest -n auto" in (ROOT / ".ci/run").read_text()


def test_every_picture_is_shown_by_a_page():
    """Those that are shown and not there are dead links, which is another test."""
    shown = {name for page in PAGES for name in re.findall(r"\(console/([\w-]+\.png)\)", page.read_text())}
    assert {path.name for path in (DOCS / "console").glob("*.png")} == shown, "GATEWAY_SCREENSHOTS=1 makes them"
