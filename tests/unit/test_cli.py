"""Commands say in one sentence what is wrong, and what to do."""

import base64
import re

import pytest
from click.testing import CliRunner

from gateway import cli
from gateway.cli import cli as commands
from gateway.cli import doctor, main
from gateway.storage import migrate


def run(*arguments, **environ):
    return CliRunner().invoke(commands, arguments, env={"GATEWAY_DATABASE_URL": None, **environ})


def test_doctor_proposes_keys_and_says_what_is_missing(tmp_path):
    answer = run("doctor", GATEWAY_DATABASE_URL=f"sqlite:///{tmp_path}/gateway.db", GATEWAY_PIPEDRIVE_CLIENT_ID="id")
    assert answer.exit_code == 1
    for name in ("GATEWAY_HOST_KEYS", "GATEWAY_SECRET_KEYS", "GATEWAY_PIPEDRIVE_CLIENT_SECRET"):
        assert f"{name} is not set" in answer.output


def test_the_keys_that_doctor_proposes_are_taken(tmp_path):
    url = f"sqlite:///{tmp_path}/gateway.db"
    said = run("doctor", GATEWAY_DATABASE_URL=url).output
    host_key, secret_key = (line.rsplit(" ", 1)[1] for line in said.splitlines() if "A good one:" in line)
    settings = {"GATEWAY_DATABASE_URL": url, "GATEWAY_HOST_KEYS": host_key, "GATEWAY_SECRET_KEYS": secret_key}
    settings |= {"GATEWAY_PIPEDRIVE_CLIENT_ID": "id", "GATEWAY_PIPEDRIVE_CLIENT_SECRET": "secret"}
    assert run("migrate", **settings).exit_code == 0
    answer = run("doctor", **settings)
    assert answer.exit_code == 0, answer.output


def test_doctor_tells_what_is_not_set_up_from_what_is_half_set_up(tmp_path):
    url = f"sqlite:///{tmp_path}/gateway.db"
    said = run("doctor", GATEWAY_DATABASE_URL=url, GATEWAY_PIPEDRIVE_CLIENT_ID="id").output
    assert "mend integration pipedrive: GATEWAY_PIPEDRIVE_CLIENT_SECRET is not set" in said
    assert "note integration servicetitan is installed and not set up" in said


def test_doctor_names_the_url_for_calls_of_a_vendor_that_knows_no_callback(tmp_path):
    url, key = f"sqlite:///{tmp_path}/gateway.db", "k1:" + base64.b64encode(b"0" * 32).decode()
    settings = {"GATEWAY_DATABASE_URL": url, "GATEWAY_SECRET_KEYS": key, "GATEWAY_SERVICETITAN_APP_KEY": "ak1.key"}
    settings |= {"GATEWAY_PUBLIC_URL": "https://gateway.example", "GATEWAY_PIPEDRIVE_CLIENT_ID": "id"}
    settings |= {"GATEWAY_PIPEDRIVE_CLIENT_SECRET": "secret"}
    run("migrate", **settings)
    said = [line for line in run("doctor", **settings).output.splitlines() if "for webhooks" in line]
    assert len(said) == 1
    assert re.search(r"https://gateway\.example/v1/inbound/servicetitan/[0-9a-f]{32,}$", said[0])
    assert said == [line for line in run("doctor", **settings).output.splitlines() if "for webhooks" in line]


def test_doctor_notices_a_setting_that_nobody_reads(tmp_path):
    url = f"sqlite:///{tmp_path}/gateway.db"
    assert (
        "GATEWAY_HSOT_KEYS is set, but no setting has that name"
        in run("doctor", GATEWAY_DATABASE_URL=url, GATEWAY_HSOT_KEYS="x").output
    )


def test_migrate_check_tells_whether_the_schema_is_current(tmp_path):
    url = f"sqlite:///{tmp_path}/gateway.db"
    assert run("migrate", "--check", GATEWAY_DATABASE_URL=url).exit_code == 1
    assert f"empty -> {migrate.head()}" in run("migrate", GATEWAY_DATABASE_URL=url).output
    assert run("migrate", "--check", GATEWAY_DATABASE_URL=url).exit_code == 0
    assert "nothing to do" in run("migrate", GATEWAY_DATABASE_URL=url).output


def test_a_sandbox_that_is_not_installed_is_refused_with_those_that_are():
    answer = run("sandbox", "acme")
    assert answer.exit_code == 2
    assert "no sandbox 'acme' is installed; there is: pipedrive" in answer.output


def test_integrations_shows_what_is_there():
    answer = run("integrations", COLUMNS="300")
    assert answer.exit_code == 0
    assert "Pipedrive" in answer.output


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"GATEWAY_DATABASE_URL": "mysql://x/y"}, "mysql"),
        ({"GATEWAY_PUBLIC_URL": "gateway"}, "GATEWAY_PUBLIC_URL is wrong"),
    ],
)
def test_a_wrong_setting_ends_with_a_sentence_and_not_a_traceback(monkeypatch, capsys, environ, said):
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.argv", ["gateway", "migrate"])
    with pytest.raises(SystemExit) as ended:
        main()
    written = capsys.readouterr().err
    assert ended.value.code == 2
    assert said in written
    assert "Traceback" not in written


def test_every_command_is_joined():
    assert {doctor.doctor.name, "demo", "serve"} <= set(cli.cli.commands)
