"""Texts for people: catalogues are complete and up to date, translations are used, plugins bring their own."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.console import catalogue, texts
from gateway.console.texts import Texts
from gateway_schemas.base import Money

from .browsing import Browser
from .conftest import opened
from .translating import translate

FILES = catalogue.files()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_committed_catalogue_holds_every_text(path: Path):
    assert path.read_text() == FILES[path], "run: python -m gateway.console.catalogue"


def test_texts_of_the_manifest_are_in_the_plugins_catalogue():
    written = next(text for path, text in FILES.items() if path.name == "pipedrive.pot")
    assert '"Contact and deal"' in written
    assert "Review the permissions, then click Allow and Install." in written


async def test_an_account_reads_its_own_language_and_its_plugins_too(gateway, new_browser, tmp_path, monkeypatch):
    translate(tmp_path / "own", "console", {"Users": "Personen", "Connect": "Verbinden"})
    translate(tmp_path / "plugin", "toy", {"A toy.": "Ein Spielzeug.", "Click Allow.": "Auf Erlauben klicken."})
    monkeypatch.setattr(texts, "HERE", tmp_path / "own")
    monkeypatch.setattr(texts, "_plugin_folder", lambda key: tmp_path / "plugin" if key == "toy" else None)
    await gateway.call("PUT", "/v1/accounts/acme", {"name": "Acme", "currency": "EUR", "locale": "de-AT"})
    browser: Browser = await opened(gateway, new_browser())
    page = await browser.go("/console/a/acme/settings/integrations")
    assert '<html lang="de">' in page.answer.text
    assert {"Personen", "Verbinden"} <= set(page.text.split())
    assert "Ein Spielzeug." in page.text
    assert "Auf Erlauben klicken." in page.text
    assert "Settings" in page.text, "what no catalogue has is shown in English"


def test_times_numbers_and_money_are_the_accounts():
    german = Texts("de-DE", "Europe/Berlin")
    at = datetime(2026, 7, 1, 22, 30, tzinfo=UTC)
    assert german.when(at, "short") == "02.07.26, 00:30"
    assert german.exact(at) == "2026-07-02 00:30:00 Europe/Berlin"
    assert german.ago(at, at + timedelta(hours=3)) == "vor 3 Stunden"
    assert german.number(1234567) == "1.234.567"
    assert german.money(Money(amount=Decimal("1200.50"), currency="EUR")) == "1.200,50\xa0€"


def test_a_locale_that_nobody_knows_is_english():
    assert Texts("xx-XX").language == "en"
