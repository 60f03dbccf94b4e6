"""Mistakes on the command line end with one sentence."""

from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from gateway.cli import cli as commands
from gateway.cli import main

# a connection of SQLite that is dropped with its loop complains in its own thread
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


def run(*arguments, **environ):
    return CliRunner().invoke(commands, arguments, env={"GATEWAY_DATABASE_URL": None, **environ})


def test_erasing_nobody_ends_with_a_sentence(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("GATEWAY_DATABASE_URL", f"sqlite:///{tmp_path}/gateway.db")
    monkeypatch.setenv("GATEWAY_SECRET_KEYS", "k1:" + "A" * 43)
    assert run("migrate", GATEWAY_DATABASE_URL=f"sqlite:///{tmp_path}/gateway.db").exit_code == 0
    monkeypatch.setattr("sys.argv", ["gateway", "erase", "nobody", "fred@friend.test", "--yes"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert capsys.readouterr().err.strip() == "gateway: There is no account 'nobody' here."


@pytest.mark.parametrize("url", ["sqlite:////nowhere/at/all.db", "postgresql://u:p@127.0.0.1:1/none"])
@pytest.mark.parametrize("command", ["migrate", "worker", "rewrap"])
def test_a_database_out_of_reach_ends_with_a_sentence(monkeypatch, capsys, url, command):
    monkeypatch.setenv("GATEWAY_DATABASE_URL", url)
    monkeypatch.setenv("GATEWAY_SECRET_KEYS", "k1:" + "A" * 43)
    monkeypatch.setattr("sys.argv", ["gateway", command])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


class Point:
    """An installed sandbox; it has a story, or is broken, or has none."""

    def __init__(self, name, what):
        self.name, self.what = name, what

    def load(self):
        if self.what == "broken":
            raise RuntimeError("no such module")
        return SimpleNamespace(**({"story": None} if self.what == "story" else {}))


@pytest.mark.parametrize(("crm", "why"), [("acme", "has no story"), ("nobody", "no sandbox 'nobody' is installed")])
def test_the_demo_of_a_crm_without_a_story_ends_with_a_sentence(monkeypatch, crm, why):
    points = [Point("acme", "none"), Point("bent", "broken"), Point("zeta", "story"), Point("beta", "story")]
    monkeypatch.setattr("gateway.cli.demo.entry_points", lambda group: points)
    answer = run("demo", "--crm", crm)
    assert answer.exit_code == 2
    said = " ".join(answer.output.split())
    assert why in said
    assert said.endswith("there is: beta, zeta")


def test_rewrap_encrypts_anew_what_the_older_key_encrypted(tmp_path):
    url = f"sqlite:///{tmp_path}/gateway.db"
    older, newer = "k1:" + "A" * 43, "k2:" + "B" * 42 + "A"
    run("migrate", GATEWAY_DATABASE_URL=url)
    assert run("rewrap", GATEWAY_DATABASE_URL=url, GATEWAY_SECRET_KEYS=older).output.startswith("0 secrets")
    both = {"GATEWAY_DATABASE_URL": url, "GATEWAY_SECRET_KEYS": f"{newer},{older}"}
    assert run("rewrap", **both).output.startswith("1 secrets")
    assert run("rewrap", GATEWAY_DATABASE_URL=url, GATEWAY_SECRET_KEYS=newer).exit_code == 0


def test_doctor_has_nothing_to_mend_in_a_file_that_serve_sets_up(tmp_path):
    assert "the database is empty" in run("doctor", GATEWAY_DATABASE_URL=f"sqlite:///{tmp_path}/gateway.db").output


def test_doctor_says_which_log_levels_there_are(tmp_path):
    url = f"sqlite:///{tmp_path}/gateway.db"
    answer = run("doctor", GATEWAY_DATABASE_URL=url, GATEWAY_LOG_LEVEL="loud").output
    assert "GATEWAY_LOG_LEVEL is 'loud'; use one of: debug, info, warning, error" in answer
