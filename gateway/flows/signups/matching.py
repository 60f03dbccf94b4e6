"""Find out whom a signup means: the person who signs up, and the one who referred. Pure."""

from collections.abc import Mapping

from gateway.flows.signups.directory import IDENTIFIERS, Directory
from gateway.flows.signups.intake import Item
from gateway.storage.people import Identifier, PersonRow
from gateway_schemas.problem import FieldProblem

Values = Mapping[Identifier, str | None]


def match_person(directory: Directory, item: Item, problems: list[FieldProblem]) -> PersonRow | None:
    """Return the person who signs up, if known; what belongs to somebody else is a problem that names the field."""
    given, role = item.signup.person, item.signup.role
    person = directory.look_up(item, role, "email_hash", item.email_hash)
    named: tuple[tuple[Identifier, str | None], ...] = (("external_id", given.external_id), ("code", given.code))
    for identifier, value in named:
        other = directory.look_up(item, role, identifier, value)
        if other is None or (person is not None and other.id == person.id):
            continue
        if person is None and other.email_hash is None:
            person = other  # known by this alone so far
        else:
            message = "It belongs to another person of this campaign and role."
            problems.append(FieldProblem(field=f"person.{identifier}", message=message, code="taken"))
    return person


def match_referrer(
    directory: Directory, item: Item, person: PersonRow | None, problems: list[FieldProblem]
) -> PersonRow | None:
    """Return the referrer, if known, by external id, code or e-mail, in this order; all that is given must agree.

    Args:
        directory: Who is there.
        item: The signup.
        person: Who signs up, if known.
        problems: Added to: ``self_referral`` or ``referrer_mismatch``.
    """
    given = item.signup.referrer
    if given is None:
        return None
    values: Values = {"external_id": given.external_id, "code": given.code, "email_hash": item.referrer_hash}
    found = {name: directory.look_up(item, "referrer", name, values[name]) for name in IDENTIFIERS}
    chosen = next(((name, one) for name, one in found.items() if one is not None), None)
    own = _names_self(directory, item, person, values, chosen)
    if own is not None:
        message = "A person cannot be their own referrer."
        problems.append(FieldProblem(field=f"referrer.{_field(own)}", message=message, code="self_referral"))
        return None
    if chosen is None:
        return None
    by, referrer = chosen
    for name in IDENTIFIERS:
        value, other, theirs = values[name], found[name], getattr(referrer, name)
        differs = other.id != referrer.id if other is not None else theirs is not None and theirs != value
        if value is not None and differs:
            message = f"It names another person than referrer.{_field(by)}; send those that belong together."
            problems.append(FieldProblem(field=f"referrer.{_field(name)}", message=message, code="referrer_mismatch"))
    return referrer


def sharing(directory: Directory, item: Item) -> PersonRow | None:
    """Return the referred person whose own code the referrer's is: someone who was invited, and now invites."""
    given = item.signup.referrer
    found = None if given is None else directory.look_up(item, "referred", "code", given.code)
    return found if found is not None and item.referrer_hash in (None, found.email_hash) else None


def _names_self(
    directory: Directory,
    item: Item,
    person: PersonRow | None,
    values: Values,
    chosen: tuple[Identifier, PersonRow] | None,
) -> Identifier | None:
    """Return which identifier of the referrer names the person who signs up."""
    given = item.signup.person
    own: Values = {"external_id": given.external_id, "code": given.code, "email_hash": item.email_hash}
    for name in reversed(IDENTIFIERS):
        if values[name] is not None and values[name] == own[name]:
            return name
    if chosen is not None:
        by, referrer = chosen
        if referrer.email_hash == item.email_hash or (person is not None and referrer.id == person.id):
            return by
    shared = sharing(directory, item)
    return "code" if shared is not None and shared.email_hash == item.email_hash else None


def _field(identifier: Identifier) -> str:
    return "email" if identifier == "email_hash" else identifier
