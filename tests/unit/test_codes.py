"""Codes, cells and erased words: small and pure."""

import pytest

from gateway.flows.mishaps import scrubbed
from gateway.flows.people.people import safe_cell
from gateway.flows.signups.codes import ALPHABET, CODE_LENGTH, link_for, mint_code, mint_codes
from gateway.storage.columns import new_id, new_ids
from gateway.storage.personal import ERASED, Words


def test_codes_cannot_be_guessed_or_misread():
    codes = {mint_code() for _ in range(1_000)}
    assert len(codes) == 1_000
    assert len(ALPHABET) ** CODE_LENGTH >= 2**60
    assert not set("0o1il") & set("".join(codes))


def test_many_codes_at_once_are_as_good():
    codes = mint_codes(2_000)
    assert len(set(codes)) == 2_000
    assert {len(code) for code in codes} == {CODE_LENGTH}
    assert set("".join(codes)) == set(ALPHABET)


def test_many_ids_at_once_are_in_order_and_of_the_same_form():
    before, ids, after = new_id("per"), new_ids("per", 2_000), new_id("per")
    assert ids == sorted(set(ids))
    assert {len(one) for one in ids} == {len(before)} == {30}
    assert before[:14] <= ids[0][:14] <= after[:14]
    assert new_ids("per", 0) == []


def test_a_code_is_escaped_in_its_link():
    assert link_for("https://r.example/{code}?x", "a/b c") == "https://r.example/a%2Fb%20c?x"
    assert link_for(None, "a") is None
    assert link_for("https://r.example/{code}", None) is None


@pytest.mark.parametrize("value", ["=1+1", "+49", "-1", "@x", " =1", "\tx", "\rx"])
def test_no_cell_begins_like_a_formula(value):
    assert safe_cell(value) == f"'{value}"


@pytest.mark.parametrize(("value", "cell"), [("Ann", "Ann"), (None, ""), (3, "3"), ("a=b", "a=b")])
def test_other_cells_stay(value, cell):
    assert safe_cell(value) == cell


def test_errors_are_kept_without_addresses():
    assert scrubbed('{"email":"a.b+c@example.co.uk"} for <x@y.de>, user@host') == '{"email":"…@…"} for <…@…>, user@host'
    assert len(scrubbed("x" * 5_000)) == 1_000


def test_words_are_erased_whole_and_in_every_spelling():
    words = Words(["Al", "Müller", "al@example.com"])
    assert words.text("Al made a deal, ALSO al.") == f"{ERASED} made a deal, ALSO {ERASED}."
    assert (
        words.text('{"name": "M\\u00fcller"} /find?term=al%40example.com')
        == f'{{"name": "{ERASED}"}} /find?term={ERASED}'
    )
    assert words.value({"email": "other", "list": ["Al", 3], "fields": {"a": 1}}, {"email", "fields"}) == {
        "email": None,
        "list": [ERASED, 3],
        "fields": {},
    }
    assert Words([]).text("nothing") == "nothing"
