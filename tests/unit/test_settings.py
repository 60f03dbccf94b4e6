"""Settings come from named variables, and a wrong one is named."""

import pytest

from gateway.settings import Settings, SettingsError, load


def test_defaults_are_enough_for_a_first_start():
    assert load(Settings, environ={}).database_url == "sqlite:///gateway.db"


def test_lists_are_separated_by_commas():
    keys = "a" * 32, "b" * 32
    assert load(Settings, environ={"GATEWAY_HOST_KEYS": " , ".join(keys)}).host_keys == list(keys)


def test_numbers_and_switches_are_read_from_text():
    settings = load(Settings, environ={"GATEWAY_HELD_DAYS": "7", "GATEWAY_ALLOW_LOCAL_TARGETS": "true"})
    assert (settings.held_days, settings.allow_local_targets) == (7, True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HELD_DAYS", "soon"),
        ("HELD_DAYS", "0"),
        ("HOST_KEYS", "short"),
        ("PUBLIC_URL", "gateway.example"),
        ("PUBLIC_URL", "https://gateway.example/"),
        ("SECRET_KEYS", "abc"),
    ],
)
def test_a_wrong_value_names_its_variable(name, value):
    with pytest.raises(SettingsError, match=f"GATEWAY_{name} is wrong"):
        load(Settings, environ={f"GATEWAY_{name}": value})


def test_a_secret_never_stands_in_the_error():
    with pytest.raises(SettingsError) as caught:
        load(Settings, environ={"GATEWAY_HOST_KEYS": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_a_pattern_is_said_in_words():
    with pytest.raises(SettingsError, match="without a slash at the end"):
        load(Settings, environ={"GATEWAY_PUBLIC_URL": "https://gateway.example/"})
