"""Sentences with values: found in the code as templates, and in what is shown by their words."""

import time
from gettext import GNUTranslations
from io import BytesIO

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo

from gateway.console.composed import Composed, translate
from gateway.console.sentences import in_source


def composed(**pairs: str) -> Composed:
    made = Catalog(locale="de")
    for english, german in pairs.items():
        made.add(english, german)
    written = BytesIO()
    write_mo(written, made)
    return Composed(GNUTranslations(BytesIO(written.getvalue())))


GERMAN = composed(
    **{
        "Map %(label)s of %(kind)s.": "%(kind)s: bitte %(label)s zuordnen.",
        "Map %(label)s of %(kind)s. %(why)s": "%(kind)s: bitte %(label)s zuordnen. %(why)s",
        "Reward cancelled: %(reason)s.": "Belohnung entfällt: %(reason)s.",
        "It is 100%% of %(name)s.": "Das sind 100%% von %(name)s.",
        "%(name)s is %(name)s again.": "Wieder %(name)s.",
        "%(a)s, %(b)s": "%(b)s/%(a)s",
        "Not done.": "Nicht getan.",
        "Contact": "Kontakt",
    }
)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Not done.", "Nicht getan."),
        ("Map First Name of Contact.", "Kontakt: bitte First Name zuordnen."),
        ("Map A of B of Contact.", "B of Contact: bitte A zuordnen."),
        ("Map X of Y. Because it is so.", "Y: bitte X zuordnen. Because it is so."),
        ("Reward cancelled: 100% (a %(b)s).", "Belohnung entfällt: 100% (a %(b)s)."),
        ("It is 100% of Acme.", "Das sind 100% von Acme."),
        ("Acme is Acme again.", "Wieder Acme."),
        ("Acme is Bravo again.", "Acme is Bravo again."),
        ("One, two", "One, two"),
        ("Reward cancelled: Not done..", "Belohnung entfällt: Nicht getan.."),
        ("Not done. Map X of Y.", "Nicht getan. Y: bitte X zuordnen."),
        ("Nobody knows this. Not done.", "Nobody knows this. Nicht getan."),
        ("Somebody typed this", "Somebody typed this"),
        ("", ""),
    ],
)
def test_a_sentence_is_translated_by_its_words_with_its_values(said, shown):
    assert translate(said, [GERMAN]) == shown


def test_the_first_catalogue_that_knows_a_sentence_translates_it():
    other = composed(**{"Not done.": "Anders.", "Of the plugin: %(error)s": "Vom Plugin: %(error)s"})
    assert translate("Not done.", [GERMAN, other]) == "Nicht getan."
    assert translate("Of the plugin: odd", [GERMAN, other]) == "Vom Plugin: odd"


def test_what_people_typed_costs_no_time_to_speak_of():
    """Leftmost pieces, and no search for every way in which a text could fit."""
    many = composed(**{"Xa" + "".join(f"%(v{n})s, a, " for n in range(9)) + "zz": "x"})
    began = time.process_time()
    translate("Xa" + ", a, " * 20_000, [many])
    assert time.process_time() - began < 2


SOURCE = '''
"""A module of no interest here."""
KEY = "not_a_sentence"
EVENT = "signup.pushed"

def f(row, names):
    """Return something of several words."""
    raise Refused("code", f"Map {row.label} of {kind_of(row)}; there are: {', '.join(names)}.")
    log.info("Something happened")
    x = f"{row.label} is {row.label} again. 100% of {row.kind} and {other.kind}"
    x = f"{a}: {b}"
    waits = {"x": f"until {row.due:%Y-%m-%d} at the latest", "y": "until a sale value is known"}
    x = "The parts " "of one"
    x = "https://Example.com is no sentence"
'''


def test_sentences_of_a_module_are_its_texts_of_several_words_with_named_placeholders():
    assert set(in_source(SOURCE)) == {
        "Map %(label)s of %(row)s; there are: %(names)s.",
        "Something happened",
        "The parts of one",
        "%(label)s is %(label)s again. 100%% of %(kind)s and %(kind2)s",
        "until a sale value is known",
        "until %(due)s at the latest",
    }
