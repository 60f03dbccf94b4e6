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


WRONG_KEYS = [
    ("k1:" + "B" * 42 + "A", "another key has that id"),
    ("k2:" + "B" * 42 + "A", "was written with key 'k1'"),
]


@pytest.mark.parametrize(("keys", "said"), WRONG_KEYS)
def test_doctor_says_that_stored_secrets_do_not_open(tmp_path, keys, said):
    url = f"sqlite:///{tmp_path}/gateway.db"
    run("migrate", GATEWAY_DATABASE_URL=url)
    assert run("rewrap", GATEWAY_DATABASE_URL=url, GATEWAY_SECRET_KEYS="k1:" + "A" * 43).exit_code == 0  # makes one
    right = run("doctor", GATEWAY_DATABASE_URL=url, GATEWAY_SECRET_KEYS="k1:" + "A" * 43)
    assert "secret 'email_index'" not in right.output
    answer = run("doctor", GATEWAY_DATABASE_URL=url, GATEWAY_SECRET_KEYS=keys)
    (line,) = [line for line in answer.output.splitlines() if "secret 'email_index'" in line]
    assert line.startswith("mend")
    assert said in line
    assert "GATEWAY_SECRET_KEYS" in line
    assert answer.exit_code == 1


def test_doctor_says_that_two_keys_have_one_name(tmp_path):
    url = f"sqlite:///{tmp_path}/gateway.db"
    run("migrate", GATEWAY_DATABASE_URL=url)
    answer = run("doctor", GATEWAY_DATABASE_URL=url, GATEWAY_SECRET_KEYS=f"k1:{'A' * 43},k1:{'B' * 42}A")
    assert "mend GATEWAY_SECRET_KEYS names the key 'k1' twice" in answer.output


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_another_key_under_the_same_name_ends_with_a_sentence(monkeypatch, capsys, tmp_path, command):
    url = f"sqlite:///{tmp_path}/gateway.db"
    run("migrate", GATEWAY_DATABASE_URL=url)
    run("rewrap", GATEWAY_DATABASE_URL=url, GATEWAY_SECRET_KEYS="k1:" + "A" * 43)
    monkeypatch.setenv("GATEWAY_DATABASE_URL", url)
    monkeypatch.setenv("GATEWAY_HOST_KEYS", "host-key-for-tests-0123456789abcdef")
    monkeypatch.setenv("GATEWAY_SECRET_KEYS", WRONG_KEYS[0][0])
    monkeypatch.setattr("sys.argv", ["gateway", command])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "another key has that id in GATEWAY_SECRET_KEYS" in line


def test_doctor_has_nothing_to_mend_in_a_file_that_serve_sets_up(tmp_path):
    assert "the database is empty" in run("doctor", GATEWAY_DATABASE_URL=f"sqlite:///{tmp_path}/gateway.db").output


def test_doctor_says_which_log_levels_there_are(tmp_path):
    url = f"sqlite:///{tmp_path}/gateway.db"
    answer = run("doctor", GATEWAY_DATABASE_URL=url, GATEWAY_LOG_LEVEL="loud").output
    assert "GATEWAY_LOG_LEVEL is 'loud'; use one of: debug, info, warning, error" in answer
