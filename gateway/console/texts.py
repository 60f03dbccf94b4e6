"""Texts for people: gettext, with the English text as the key; and times, numbers and money as the account reads them.

The console's catalogue is ``gateway/console/locales``; a plugin ships its own in a folder ``locales`` beside its
modules, with its integration's key as the domain. What no catalogue has is shown in English.
"""

from datetime import datetime, timedelta
from functools import lru_cache
from gettext import GNUTranslations, NullTranslations, translation
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.dates import format_datetime, format_timedelta
from babel.numbers import format_currency, format_decimal

from gateway.console.composed import Composed, translate
from gateway.plugins import GROUP
from gateway_schemas.account import Account
from gateway_schemas.base import Money

DOMAIN = "console"
HERE = Path(__file__).parent / "locales"


class Texts:
    """How one account reads: its language, time zone and number formats.

    Args:
        locale: Of the account, for example ``de-AT``.
        timezone: IANA name.
    """

    def __init__(self, locale: str = "en", timezone: str = "UTC") -> None:
        self.locale = _locale(locale)
        self.language = self.locale.language
        self._zone = ZoneInfo(timezone)
        self._zone_name = timezone
        self._own = _catalogue(DOMAIN, HERE, str(self.locale))

    @classmethod
    def of(cls, account: Account | None) -> "Texts":
        """Return how an account reads; without one: English, UTC."""
        return cls() if account is None else cls(account.locale, account.timezone)

    def say(self, text: str, **values: object) -> str:
        """Return a text in the account's language, with values for its ``%(name)s``.

        A text that flows or plugins composed with values is found by its words; see ``composed``.
        """
        if values:
            return self._own.gettext(text) % values
        return self._composed(text, DOMAIN) if text else ""

    def _composed(self, text: str, first: str) -> str:
        if self.language == "en" and type(self._own) is NullTranslations:
            return text  # as nearly all pages are
        keys = (first, DOMAIN, *_plugins())
        places = ((key, HERE if key == DOMAIN else _plugin_folder(key)) for key in dict.fromkeys(keys))
        return translate(text, [_sentences(key, folder, str(self.locale)) for key, folder in places if folder])

    def count(self, one: str, many: str, number: int, **values: object) -> str:
        """Return a text that depends on a number (``%(n)s``)."""
        return self._own.ngettext(one, many, number) % {"n": self.number(number), **values}

    def of_plugin(self, key: str, text: str | None) -> str:
        """Return a text of an integration's manifest, by the plugin's own catalogue."""
        return self._composed(text, key) if text else ""

    def when(self, at: datetime, length: str = "medium") -> str:
        """Return a time in the account's time zone."""
        return format_datetime(at, length, tzinfo=self._zone, locale=self.locale)

    def ago(self, at: datetime, now: datetime) -> str:
        """Return how long ago, in one unit."""
        return format_timedelta(at - now, add_direction=True, locale=self.locale)

    def span(self, seconds: float) -> str:
        """Return a length of time, in one unit."""
        return format_timedelta(timedelta(seconds=seconds), locale=self.locale)

    def exact(self, at: datetime) -> str:
        """Return a time to the second, with its zone."""
        return f"{at.astimezone(self._zone):%Y-%m-%d %H:%M:%S} {self._zone_name}"

    def number(self, value: float) -> str:
        """Return a number with the separators of the language."""
        return format_decimal(value, locale=self.locale)

    def money(self, value: Money) -> str:
        """Return an amount with its currency."""
        return format_currency(value.amount, value.currency, locale=self.locale)


@lru_cache(maxsize=64)
def _locale(name: str) -> Locale:
    try:
        return Locale.parse(name, sep="-")
    except (UnknownLocaleError, ValueError):
        return Locale("en")


@lru_cache(maxsize=256)
def _catalogue(domain: str, folder: Path, locale: str) -> NullTranslations | GNUTranslations:
    names = [locale, locale.partition("_")[0]]
    return translation(domain, folder, names, fallback=True)


@lru_cache(maxsize=256)
def _sentences(domain: str, folder: Path, locale: str) -> Composed:
    return Composed(_catalogue(domain, folder, locale))


@lru_cache(maxsize=1)
def _plugins() -> tuple[str, ...]:
    return tuple(sorted(point.name for point in entry_points(group=GROUP)))


@lru_cache(maxsize=64)
def _plugin_folder(key: str) -> Path | None:
    for point in entry_points(group=GROUP, name=key):
        path = import_module(point.module.partition(".")[0]).__file__
        folder = Path(path).parent / "locales" if path else None
        if folder is not None and folder.is_dir():
            return folder
    return None
