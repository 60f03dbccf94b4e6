"""``gateway.testing`` is loaded by every pytest run where the gateway is installed: it must cost nothing there."""

import subprocess
import sys

import pytest

HEAVY = ("litestar", "sqlalchemy", "uvicorn", "gateway.app")


@pytest.mark.parametrize("module", ["gateway.testing", "gateway.testing.pytest_plugin"])
def test_the_plugin_imports_what_it_needs_when_it_is_needed(module):
    code = f"import sys, {module}; print([one for one in {HEAVY} if one in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_the_fake_host_needs_no_pytest():
    code = "import sys, gateway.testing.fake_host, gateway.testing.story; print('pytest' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


def test_the_command_needs_no_pytest():
    code = "import sys, gateway.cli; print('pytest' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


def test_the_suite_is_there_by_its_name():
    from gateway import testing

    assert testing.IntegrationConformance.__name__ == "IntegrationConformance"
    with pytest.raises(AttributeError):
        testing.Nothing  # noqa: B018 - the look-up itself is the claim
