"""Every page of the console, asked by those who may not see it: no session, another account's, another site's form.

The cases come from the application's own route table. A new page is covered as it is; one whose path parameter is
unknown here, or that is to be open to everybody, fails until this file says so.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
from litestar.routes import HTTPRoute

from gateway.console import proof
from gateway.console.visitors import OPERATOR, SESSION
from gateway.flows import cookies

from .test_isolation import METHODS, RESOURCES, WORDS, Two, database_url, make_world, two

__all__ = ["database_url", "make_world", "two"]  # the fixtures of the API's walk

OPEN = {
    "/console": "leads to the page of whoever is signed in; says that nobody is, otherwise",
    "/console/open": "the page of a session link, which is its proof",
    "/console/sign-in": "the operators' sign-in; the host key is its proof",
    "/console/sign-out": "ends the session of its own page alone; without one, nothing",
    "/console/connected": "says what an address says, of nobody",
    "/console/leave": "leads to a vendor, from a page of ours alone",
    "/console/static/{version}/{name}": "the same files for everybody",
    "/console/logo/{integration}": "the same pictures for everybody",
    "/console/{rest}": "there is no such page",
}
"""Pages that need no session, each with the reason."""

OPERATORS = "/console/accounts", "/console/endpoints"
APPROVE = "/approve"

REFUSED = {401, 403, 404, 405}


class Place(NamedTuple):
    """A page or a form of the console."""

    path: str
    methods: frozenset[str]
    names: tuple[str, ...]

    def url(self, ids: dict[str, str]) -> str:
        return self.path.format_map({**WORDS, **ids})

    @property
    def is_operators(self) -> bool:
        return self.path.startswith(OPERATORS) or self.path.endswith(APPROVE)


def places(two: Two) -> list[Place]:
    found: dict[str, set[str]] = {}
    for route in two.world.app.routes:
        if isinstance(route, HTTPRoute) and route.path.startswith("/console"):
            path = re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path)
            found.setdefault(path, set()).update(route.methods)
    return [
        Place(path, frozenset(methods), tuple(re.findall(r"\{(\w+)\}", path)))
        for path, methods in sorted(found.items())
        if path not in OPEN
    ]


def mixed(two: Two, place: Place) -> Iterator[dict[str, str]]:
    """Everything of the other account, and one thing of the other account among ours."""
    names = [name for name in place.names if name in RESOURCES]
    if names:
        yield two.theirs
        yield from ({**two.mine, name: two.theirs[name]} for name in names if len(names) > 1)


def jar(two: Two, token: str, name: str = SESSION) -> str:
    return f"{cookies.prefix(two.world.services.settings)}{name}={token}"


async def ask(
    two: Two,
    method: str,
    url: str,
    *,
    session: str | None = None,
    cookie: str | None = None,
    site: str = "same-origin",
    proven: bool = True,
    **fields: str,
) -> httpx.Response:
    """Ask as a browser does: with its cookie and, in forms, the proof of its session."""
    headers = {"sec-fetch-site": site, "sec-fetch-dest": "document"}
    cookie = jar(two, session) if session is not None else cookie
    if cookie is not None:
        headers["cookie"] = cookie
    if method in ("GET", "HEAD"):
        return await two.world.api.request(method, url, params=fields, headers=headers)
    if session is not None and proven:
        fields["csrf"] = proof.token_for(session)
    return await two.world.api.request(method, url, data=fields, headers=headers)


BUTTONS = {
    "/console/a/{account}/people/{person}/qualification": {"decision": "qualify"},
    "/console/a/{account}/rewards/{reward}": {"decision": "issued"},
}
"""What the buttons of forms say that do nothing without."""


def beside(ids: dict[str, str], place: Place) -> dict[str, str]:
    """Fields of forms and addresses that name things, and the button."""
    named = {**ids, "from": ids["campaign"], "installation": "ins_theirs", "action": "save"}
    return named | BUTTONS.get(place.path, {})


def of_theirs(rows: dict[str, list[str]], two: Two) -> dict[str, list[str]]:
    return {
        name: [row for row in some if any(one in row for one in two.theirs.values())] for name, some in rows.items()
    }


def leaks(two: Two, answer: httpx.Response) -> list[str]:
    return [text for text in two.secrets if text in answer.text or text in answer.headers.get("location", "")]


# --- the claims ------------------------------------------------------------------------------------------------


async def every_page_is_known(two: Two) -> list[Any]:
    found = places(two)
    assert len(found) > 40
    assert {name for one in found for name in one.names} <= RESOURCES | set(WORDS), (
        "say what these path parameters name: in RESOURCES and populate() of the API's walk, or in WORDS"
    )
    known = {re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path) for route in two.world.app.routes}
    assert set(OPEN) <= known
    assert all("account" in one.names or one.is_operators for one in found), "whose pages are these? say so in OPEN"
    return []


async def without_a_session_nothing_is_shown_or_done(two: Two) -> list[Any]:
    watch, wrong = two.watch(), []
    strangers = {
        "no cookie": None,
        "unknown": jar(two, "gws_" + "x" * 43),
        "an account key": jar(two, two.keys["all"]),
        "as an operator": jar(two, two.keys["session"], OPERATOR),
    }
    for place in places(two):
        for method in METHODS:
            for who, cookie in strangers.items():
                answer = await ask(two, method, place.url(two.theirs), cookie=cookie, **beside(two.theirs, place))
                expected = {401} if method in place.methods - {"OPTIONS"} else {204, 401, 404, 405}
                if answer.status_code not in expected or leaks(two, answer):
                    wrong.append((method, place.path, who, answer.status_code, leaks(two, answer)))
    return [*wrong, *watch.changed()]


async def another_accounts_things_are_not_there(two: Two) -> list[Any]:
    watch, wrong = two.watch(), []
    for place in places(two):
        for ids in [*mixed(two, place), *([two.mine] if place.is_operators else [])]:
            for method in METHODS:
                url = place.url(ids)
                answer = await ask(two, method, url, session=two.keys["session"], **beside(two.mine, place))
                if answer.status_code == 303:  # to the page that is meant, which is asked in its turn
                    answer = await ask(two, "GET", answer.headers["location"], session=two.keys["session"])
                expected = {204} if method == "OPTIONS" else REFUSED - {401}
                if answer.status_code not in expected:
                    wrong.append((method, url, answer.status_code, answer.headers.get("location")))
                if found := leaks(two, answer):
                    wrong.append((method, url, "leaks", found))
                if changed := watch.changed():
                    wrong.append((method, url, "changed", changed))
    return wrong


async def forms_of_others_do_nothing(two: Two) -> list[Any]:
    """Of another site, or of another session: on the account's own pages, where they could do something."""
    watch, wrong = two.watch(), []
    for place in places(two):
        for method in place.methods - {"GET", "HEAD", "OPTIONS"}:
            url, session = place.url(two.mine), two.keys["session"]
            for site in ("cross-site", "same-site", "none"):
                answer = await ask(two, method, url, session=session, site=site)
                if answer.status_code != 403:
                    wrong.append((method, url, site, answer.status_code))
            answer = await ask(two, method, url, session=session, proven=False)
            if answer.status_code not in {403, 409}:
                wrong.append((method, url, "no proof", answer.status_code))
    return [*wrong, *watch.changed()]


async def pages_show_what_is_the_accounts_own(two: Two) -> list[Any]:
    """Else the refusals above would say nothing; and whatever an address asks for, it is not another account's."""
    wrong = []
    for place in places(two):
        if "GET" not in place.methods or place.is_operators:
            continue
        for query in ({}, beside(two.theirs, place)):
            answer = await ask(two, "GET", place.url(two.mine), session=two.keys["session"], **query)
            fine = {200, 204, 303} if not query else {200, 204, 303, 404, 422}
            shown = [one for one in (*two.theirs.values(), *two.secrets) if one != two.theirs["account"]]
            # what an address asked for may be said back
            shown = [one for one in shown if one in answer.text and one not in query.values()]
            if answer.status_code not in fine or shown or leaks(two, answer):
                wrong.append((place.path, bool(query), answer.status_code, shown))
    return wrong


async def forms_reach_nothing_of_another_account(two: Two) -> list[Any]:
    """Comes last: it changes what is ours."""
    wrong = []
    last = ("/disconnect", "/switch")
    for place in sorted(places(two), key=lambda one: (one.path.endswith(last), one.path)):
        for method in place.methods - {"GET", "HEAD", "OPTIONS"}:
            watch = two.watch()
            before = of_theirs(watch.rows, two)
            url = place.url(two.mine)
            answer = await ask(two, method, url, session=two.keys["session"], **beside(two.theirs, place))
            watch.changed()
            if of_theirs(watch.rows, two) != before:
                wrong.append((method, url, "changed theirs"))
            if answer.status_code >= 500 or leaks(two, answer):
                wrong.append((method, url, answer.status_code, leaks(two, answer)))
    return wrong


async def test_every_page_of_the_console_refuses_whom_it_must(two):
    """One world for all claims: nothing in it changes before the last."""
    wrong = {}
    for claim in (
        every_page_is_known,
        without_a_session_nothing_is_shown_or_done,
        another_accounts_things_are_not_there,
        forms_of_others_do_nothing,
        pages_show_what_is_the_accounts_own,
        forms_reach_nothing_of_another_account,
    ):
        wrong[claim.__name__] = await claim(two)
    found = [f"{name}: {one}" for name, some in wrong.items() for one in some]
    assert not found, "\n".join(found)
