"""What a Zap's owner fills in: read exactly, or refused in words that fit into Zapier's 250 characters."""

from decimal import Decimal

import pytest

from gateway.sdk.errors import Rejected
from gateway_zapier import matching, values
from gateway_zapier.subscriptions import number

from .test_events import campaign, person


@pytest.mark.parametrize(
    ("given", "read"),
    [("1200.00", "1200.00"), (" 5 ", "5"), ("-40.5", "-40.5"), ("+7", "7"), (5, "5"), (99.5, "99.5"), (0.1, "0.1"),
     (1e21, "1000000000000000000000")],
)  # fmt: skip
def test_a_plain_number_is_read_exactly(given, read):
    assert str(values.number("sale_value", given)) == read


@pytest.mark.parametrize("given", [None, "", "  ", "\x00"])
def test_nothing_given_is_nothing(given):
    assert values.number("sale_value", given) is None
    assert values.money(given, "nonsense") is None
    assert values.moment("at", "At", given) is None


@pytest.mark.parametrize(
    "given", ["1,200.00 USD", "1.200,00", "€5", "ten", "1e5", "NaN", "inf", ".5", "5.", "٥", "x" * 999]
)
def test_anything_else_is_refused_in_words(given):
    with pytest.raises(Rejected) as refused:
        values.money(given, "USD")
    (problem,) = refused.value.problems
    assert problem.field == "sale_value"
    assert given[:40] in problem.message
    assert len(problem.message) <= 250


def test_a_currency_comes_in_any_case_or_from_the_account():
    assert values.money("5", " usd ").currency == "USD"
    assert values.money("5", None, fallback="EUR").currency == "EUR"
    for wrong in ("dollars", "US", "U$D"):
        with pytest.raises(Rejected, match="three letters"):
            values.money("5", wrong)
    with pytest.raises(Rejected, match="three letters"):
        values.money("5", None)
    assert values.money("1200.00", "USD").amount == Decimal("1200.00")


def test_an_email_comes_in_any_case_and_is_none_or_one():
    assert values.email("email", "E-mail", " JANE@Example.COM ") == "jane@example.com"
    with pytest.raises(Rejected, match="E-mail is empty"):
        values.email("email", "E-mail", " ")
    with pytest.raises(Rejected, match="not an e-mail") as refused:
        values.email("email", "E-mail", "jane at example")
    assert "jane" not in str(refused.value)


def test_a_time_has_an_offset():
    assert values.moment("at", "At", "2026-03-01T12:00:00Z").isoformat() == "2026-03-01T12:00:00+00:00"
    assert values.moment("at", "At", "2026-03-01T12:00:00.5+02:00") is not None
    for wrong in ("2026-03-01", "2026-03-01T12:00:00", "tomorrow"):
        with pytest.raises(Rejected, match="offset"):
            values.moment("at", "At", wrong)


def test_numbers_of_a_query_stay_within_their_bounds():
    assert [number(one, 3, most=10) for one in (None, "", "x", "-1", "5", "99", "0", "9" * 12)] == [
        3, 3, 3, 3, 5, 10, 1, 3
    ]  # fmt: skip


# --- whom an action means ----------------------------------------------------------------------------------------

ORDER = ("pending", "qualified", "disqualified")
NAMES = {"spring": campaign(), "autumn": campaign(id="autumn", name="Autumn")}


def in_state(*states):
    return [person(f"per_{index}", "referred", state=state, campaign=("spring", "autumn")[index % 2])
            for index, state in enumerate(states)]  # fmt: skip


@pytest.mark.parametrize(
    ("states", "chosen"),
    [
        ([], None),
        (["pending"], "per_0"),
        (["qualified", "pending"], "per_1"),
        (["disqualified", "pending"], "per_1"),
        (["qualified", "qualified"], "per_0"),
        (["disqualified", "qualified"], "per_1"),
        (["disqualified"], "per_0"),
    ],
)
def test_the_one_who_is_open_is_meant(states, chosen):
    found = matching.choose(in_state(*states), ORDER, harmless="qualified", campaigns=NAMES)
    assert (found.id if found is not None else None) == chosen


@pytest.mark.parametrize("states", [["pending", "pending"], ["disqualified", "disqualified"]])
def test_two_whom_it_would_change_are_asked_about(states):
    with pytest.raises(Rejected, match=r"in 2 campaigns \(Autumn, Spring\). Choose the Campaign"):
        matching.choose(in_state(*states), ORDER, harmless="qualified", campaigns=NAMES)
