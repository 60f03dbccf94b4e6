"""``gateway new-plugin`` makes a package that passes; what the guide tells authors to write works."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import cli, new_plugin
from gateway.cli.new_plugin import SCAFFOLD, why_taken
from gateway.sdk.inbound import InboundRequest
from gateway.testing.conformance import card

from .toy import plugin

ROOT = Path(__file__).parents[2]
KEY = "blue_crm"


@pytest.fixture
def package(tmp_path):
    """The package as it lies there after the command, and an environment in which it is installed."""
    made = CliRunner().invoke(cli, ["new-plugin", KEY, "--into", str(tmp_path)])
    assert made.exit_code == 0, made.output
    folder = tmp_path / KEY
    project = (folder / "pyproject.toml").read_text()
    points = re.findall(r'^\[project\.entry-points\."(.*?)"\]\n(\w+) = "(.*?)"$', project, re.MULTILINE)
    installed = folder / f"referral_gateway_{KEY}-0.1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(f"Metadata-Version: 2.1\nName: referral-gateway-{KEY}\nVersion: 0.1.0\n")
    (installed / "entry_points.txt").write_text("".join(f"[{group}]\n{key} = {what}\n" for group, key, what in points))
    return folder


def run(folder, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    environment.pop("PYTEST_ADDOPTS", None)
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


def test_the_guide_shows_the_tests_that_it_brings():
    brought = "".join(file.read_text() for file in sorted((SCAFFOLD / "tests").glob("*.py")))
    code = re.sub(r'^ *""".*?"""\n\s*?(?=^)', "", brought, flags=re.MULTILINE)
    for block in re.findall(r"```python\n(.*?)```", (ROOT / "docs/plugins.md").read_text(), re.DOTALL):
        assert all(line in code.splitlines() for line in block.splitlines()), block


def test_its_tests_pass(package):
    few = "referral or connects or manifest or credentials or option"
    ran = run(package, "pytest", "-q", "-p", "no:randomly", "-k", few)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "5 passed" in ran.stdout


def test_one_name_stands_everywhere(package):
    for file in package.rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            assert "acme" not in str(file.relative_to(package)) + file.read_text().casefold(), file


def test_the_command_checks_it(package):
    ran = run(package, "gateway", "check-plugin", KEY, "--rule", "connects")
    assert (ran.returncode, ran.stdout) == (0, "✓ connects\n"), ran.stdout + ran.stderr


@pytest.mark.parametrize(("pip", "install"), [(None, "uv pip install"), (object(), "pip install")])
def test_it_says_how_to_install_the_package_where_it_runs(pip, install, tmp_path, monkeypatch):
    monkeypatch.setattr(new_plugin, "find_spec", {"pip": pip}.get)
    made = CliRunner().invoke(cli, ["new-plugin", KEY, "--into", str(tmp_path)])
    then = f"cd {tmp_path / KEY} && {install} -e . && gateway check-plugin {KEY} --write README.md"
    assert made.stderr.splitlines()[-1] == f"next, in this virtualenv: {then}"


@pytest.mark.parametrize("key", ["Acme", "1st", "a-b", ""])
def test_a_key_that_none_can_be_is_refused(key, tmp_path):
    made = CliRunner().invoke(cli, ["new-plugin", key, "--into", str(tmp_path)])
    assert made.exit_code == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("class", "'class' is a word of Python"),
        ("gateway", "the gateway's own name"),
        ("database", "GATEWAY_DATABASE_… are settings of the gateway"),
        ("pipedrive", "there is an integration 'pipedrive' already"),
        ("zapier", "there is an integration 'zapier' already"),
        ("schemas", "there is an integration 'schemas' already"),
    ],
)
def test_a_key_whose_names_are_taken_is_refused(key, why, tmp_path):
    made = CliRunner().invoke(cli, ["new-plugin", key, "--into", str(tmp_path)])
    assert made.exit_code == 2
    said = " ".join(made.output.replace("│", " ").split())
    assert why in said
    assert f"choose another key, for example {key}_crm" in said
    assert list(tmp_path.iterdir()) == []


def test_a_shipped_integration_that_is_not_installed_is_taken_too(monkeypatch):
    monkeypatch.setattr("gateway.cli.new_plugin.entry_points", lambda group: [])
    monkeypatch.setattr("gateway.cli.new_plugin.find_spec", lambda name: None)
    assert why_taken("servicetitan") == "there is an integration 'servicetitan' already"
    assert why_taken(KEY) is None


def test_a_package_of_that_name_is_taken(monkeypatch):
    monkeypatch.setattr("gateway.cli.new_plugin.find_spec", lambda name: object())
    assert why_taken(KEY) == f"there is a package gateway_{KEY} already"


@pytest.mark.parametrize(
    "body",
    [b"", b"no JSON", b"[]", b"null", b'{"id": "msg-1"}', b'{"deal": "1"}', b"\xff", b'{"id": "\xff", "deal": "1"}'],
)
def test_a_webhook_of_another_kind_says_nothing(body):
    request = InboundRequest(method="POST", headers={}, query={}, body=body)
    assert plugin.read_webhook(None, request) == []
    assert plugin.webhook_id(request) is None


def test_its_readme_has_an_empty_place_for_the_card_and_says_what_fills_it(package):
    readme = package / "README.md"
    shown = readme.read_text()
    assert "Quality:" not in shown
    assert f"Not computed yet: run `gateway check-plugin {KEY} --write README.md`." in shown
    assert card.write(readme, KEY, "**Quality: gold**")
    assert "Not computed" not in readme.read_text()


def test_its_tests_ask_for_the_card_until_it_is_there(package):
    ran = run(package, "pytest", "-q", "-p", "no:randomly", "-k", "readme")
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert f"run `gateway check-plugin {KEY} --write README.md`" in ran.stdout


def test_a_folder_that_is_there_is_left_alone(tmp_path):
    (tmp_path / KEY).mkdir()
    made = CliRunner().invoke(cli, ["new-plugin", KEY, "--into", str(tmp_path)])
    assert made.exit_code == 2
    assert list((tmp_path / KEY).iterdir()) == []
