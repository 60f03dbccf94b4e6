"""``gateway new-plugin`` makes a package that passes; what the guide tells authors to write works."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import cli
from gateway.cli.new_plugin import SCAFFOLD

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
    few = "referral or readme or connects or manifest or credentials or option"
    ran = run(package, "pytest", "-q", "-p", "no:randomly", "-k", few)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "6 passed" in ran.stdout


def test_one_name_stands_everywhere(package):
    for file in package.rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            assert "acme" not in str(file.relative_to(package)) + file.read_text().casefold(), file


def test_the_command_checks_it(package):
    ran = run(package, "gateway", "check-plugin", KEY, "--rule", "connects")
    assert (ran.returncode, ran.stdout) == (0, "✓ connects\n"), ran.stdout + ran.stderr


@pytest.mark.parametrize("key", ["Acme", "1st", "a-b", ""])
def test_a_key_that_none_can_be_is_refused(key, tmp_path):
    made = CliRunner().invoke(cli, ["new-plugin", key, "--into", str(tmp_path)])
    assert made.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_left_alone(tmp_path):
    (tmp_path / KEY).mkdir()
    made = CliRunner().invoke(cli, ["new-plugin", KEY, "--into", str(tmp_path)])
    assert made.exit_code == 2
    assert list((tmp_path / KEY).iterdir()) == []
