"""Check a setup against the manifest and what the vendor has now, and work out what it means there. Pure.

``needs`` says which lists to read, ``check`` judges with them; between the two the caller asks the vendor.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec

from gateway.flows.campaigns.setup_rows import check_rows, default_places
from gateway.sdk.mapping import Locality
from gateway.storage.campaigns import CampaignRow, Resolved
from gateway_schemas.account import Account
from gateway_schemas.campaign import QualificationRule, SetupInput, SetupProblem
from gateway_schemas.manifest import Manifest, Parameter, Role, Target, TargetOption, Trigger
from gateway_schemas.records import Field, Option

T = TypeVar("T", Target, Trigger)
Source = tuple[str, str | None]
"""Option source, and the parent option's value."""


class Needs(msgspec.Struct, frozen=True):
    """Lists of the vendor that a check asks for."""

    kinds: frozenset[str]
    options: frozenset[Source]


class Live(msgspec.Struct, frozen=True):
    """What the vendor has now."""

    fields: Mapping[str, Sequence[Field]]
    options: Mapping[Source, Sequence[Option]]


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """A setup that was checked: completed, and what is wrong with it."""

    body: SetupInput
    resolved: Resolved
    problems: list[SetupProblem]


def needs(manifest: Manifest, role: Role, body: SetupInput) -> Needs:
    """Return the lists that ``check`` needs for this setup."""
    target = _find(manifest.targets, body.target)
    if target is None:
        return Needs(frozenset(), frozenset())
    known = {kind.key for kind in manifest.record_kinds}
    kinds = {row.record_kind for row in target.rows.get(role, [])}
    named = {row.record_kind for row in (*body.mapping, *body.referrer_fields)}
    named |= {default.record_kind for default in body.defaults}
    kinds |= named & set(target.creates)
    if body.sale_value is not None:
        kinds.add(body.sale_value.record_kind)
    options = {
        source_of(one, target.options, body.target_options) for one in target.options if one.key in body.target_options
    }
    trigger = None if body.qualification is None else _find(manifest.triggers, body.qualification.trigger)
    if trigger is not None and body.qualification is not None:
        given = body.qualification.parameters
        options |= {
            source_of(one, trigger.parameters, given) for one in trigger.parameters if one.source and one.key in given
        }
    return Needs(frozenset(kinds & known), frozenset(options))


def source_of(
    one: TargetOption | Parameter, among: Sequence[TargetOption | Parameter], chosen: Mapping[str, str]
) -> Source:
    """Return where the options of a choice come from, below the value that is chosen for its parent."""
    assert one.source is not None
    return (one.source, chosen.get(one.parent) if one.parent is not None else None)


def locality_of(account: Account) -> Locality:
    """Return what values depend on of an account."""
    return Locality(currency=account.currency, country=account.country, timezone=account.timezone)


def check(
    manifest: Manifest, campaign: CampaignRow, role: Role, body: SetupInput, live: Live, locality: Locality
) -> Checked:
    """Judge a setup.

    Args:
        manifest: Of the connection's integration.
        campaign: Declares the form fields.
        role: Whose signups the setup is for.
        body: As a person sent it, or as it was saved.
        live: The lists that ``needs`` named.
        locality: The account's, for constants.

    Returns:
        The setup with suggested rows and the default duplicate policy written out, what it means at the vendor, and
        each problem with the path of its field.
    """
    return _Check(manifest, campaign, role, body, live).run(locality)


class _Check:
    def __init__(self, manifest: Manifest, campaign: CampaignRow, role: Role, body: SetupInput, live: Live) -> None:
        self.manifest = manifest
        self.campaign = campaign
        self.role = role
        self.body = body
        self.live = live
        self.known = {(kind, field.key): field for kind, found in live.fields.items() for field in found}
        self.problems: list[SetupProblem] = []
        self.warnings: list[SetupProblem] = []
        self.accepts: dict[str, list[str]] = {}
        self.labels: dict[str, str] = {}

    def problem(self, field: str, code: str, message: str) -> None:
        self.problems.append(SetupProblem(field=field, message=message, code=code))

    def run(self, locality: Locality) -> Checked:
        """Check part by part; without a target the rest has no meaning."""
        target = self._check_target()
        if target is None:
            return Checked(body=self.body, resolved=Resolved(), problems=self.problems)
        self._check_target_options(target)
        policy = self._check_duplicates()
        if self.body.qualification is not None:
            self._check_qualification(target, self.body.qualification)
        self._check_sale_value()
        rows = check_rows(self.manifest, target, self.campaign, self.role, self.body, self.live.fields, locality)
        body = msgspec.structs.replace(
            self.body,
            mapping=rows.mapping,
            referrer_fields=rows.referrer_fields,
            duplicates=policy,
            use_suggested=False,
        )
        resolved = Resolved(
            accepts=self.accepts,
            labels=self.labels,
            fields=self._named_fields(body, rows.needed),
            warnings=[*self.warnings, *rows.warnings],
        )
        return Checked(body=body, resolved=resolved, problems=[*self.problems, *rows.problems])

    def _check_target(self) -> Target | None:
        target = _find(self.manifest.targets, self.body.target)
        offered = {one.key: one for one in self.manifest.targets if self.role in one.roles}
        if target is None or target.key not in offered:
            why = f"{self.body.target!r} is not offered for the role {self.role}"
            self.problem("target", "unknown_target", f"{why}; choose one of: {_names(list(offered))}.")
            return None
        return target

    def _check_target_options(self, target: Target) -> None:
        known = {one.key: one for one in target.options}
        for key in self.body.target_options:
            if key not in known:
                message = f"{target.label!r} has no option {key!r}; it has: {_names(list(known))}."
                self.problem(f"target_options.{key}", "unknown_option", message)
        for option in target.options:
            self._check_choice(f"target_options.{option.key}", option, target.options, self.body.target_options)

    def _check_choice(
        self,
        path: str,
        one: TargetOption | Parameter,
        among: Sequence[TargetOption | Parameter],
        given: Mapping[str, str],
    ) -> Option | None:
        """Find the option that is chosen; its siblings are ``_siblings``."""
        value = given.get(one.key)
        if value is None:
            if one.required:
                self.problem(path, "required", f"Choose a value for {one.label}.")
            return None
        options = self._siblings(one, among, given)
        found = next((option for option in options if option.value == value), None)
        if found is None:
            parent = next((other for other in among if other.key == one.parent), None)
            below = f" below the chosen {parent.label}" if parent is not None and parent.key in given else ""
            offered = _names([f"{option.value} ({option.label})" for option in options[:20]])
            message = f"{one.label}: {value!r} is not there{below}; there are: {offered}."
            self.problem(path, "unknown_option", message)
            return None
        self.labels[f"{one.key}:{found.value}"] = found.label
        return found

    def _siblings(
        self, one: TargetOption | Parameter, among: Sequence[TargetOption | Parameter], given: Mapping[str, str]
    ) -> list[Option]:
        if isinstance(one, Parameter) and one.source is None:
            return [Option(value=value, label=value, rank=rank) for rank, value in enumerate(one.choices)]
        source = source_of(one, among, given)
        options = self.live.options.get(source, [])
        return [option for option in options if source[1] is None or option.parent in (None, source[1])]

    def _check_duplicates(self) -> str:
        policy = self.body.duplicates or self.manifest.default_duplicates
        offered = [one.key for one in self.manifest.duplicates]
        if policy not in offered:
            message = f"{self.manifest.name} offers no {policy!r}; choose one of: {_names(offered)}."
            self.problem("duplicates", "unknown_policy", message)
        return policy

    # --- qualification and sale value --------------------------------------------------------------

    def _check_qualification(self, target: Target, rule: QualificationRule) -> None:
        if self.role != "referred":
            self.problem(
                "qualification", "wrong_role", "Only referred people qualify; leave the rule out for referrers."
            )
            return
        offered = [one.key for one in self.manifest.triggers if target.key in one.targets]
        trigger = _find(self.manifest.triggers, rule.trigger)
        if trigger is None or trigger.key not in offered:
            message = f"{rule.trigger!r} is not offered for {target.label!r}; choose one of: {_names(offered)}."
            self.problem("qualification.trigger", "unknown_trigger", message)
            return
        if rule.reverse != "never" and not trigger.reversed_by:
            message = f"Nothing takes {trigger.label!r} back; use never."
            self.problem("qualification.reverse", "not_reversible", message)
        self._check_parameters(trigger, rule)
        if "created" in trigger.through.get(target.key, []):
            self._check_beginning(target, trigger)

    def _check_beginning(self, target: Target, trigger: Trigger) -> None:
        """Refuse a record of ours that begins where it qualifies: each signup would qualify as it is sent."""
        parameters = {one.key: one for one in trigger.parameters}
        begun: list[TargetOption] = []
        for requirement in trigger.requires:
            parameter = parameters.get(requirement.parameter or "")
            accepted = self.accepts.get(parameter.key, []) if parameter is not None else []
            options = [one for one in target.options if parameter is not None and one.source == parameter.source]
            found = [one for one in options if self._begins_in(one, target, accepted)]
            if not found:
                return
            begun += found
        for option in begun:
            message = (
                f"{trigger.label}: every signup would qualify as soon as it is sent, since {option.label} satisfies "
                f"the rule already; choose an earlier {option.label}, or another value in the rule."
            )
            self.problem(f"target_options.{option.key}", "qualifies_at_once", message)

    def _begins_in(self, option: TargetOption, target: Target, accepted: Sequence[str]) -> bool:
        """Say whether a record begins with an accepted value: the chosen one, or whichever the vendor may choose."""
        given = self.body.target_options
        if option.key in given:
            return given[option.key] in accepted
        offered = self._siblings(option, target.options, given)
        return bool(offered) and all(one.value in accepted for one in offered)

    def _check_parameters(self, trigger: Trigger, rule: QualificationRule) -> None:
        known = {one.key: one for one in trigger.parameters}
        for key in rule.parameters:
            if key not in known:
                message = f"{trigger.label!r} has no parameter {key!r}; it has: {_names(list(known))}."
                self.problem(f"qualification.parameters.{key}", "unknown_parameter", message)
        for parameter in trigger.parameters:
            path = f"qualification.parameters.{parameter.key}"
            chosen = self._check_choice(path, parameter, trigger.parameters, rule.parameters)
            if chosen is None:
                continue
            siblings = self._siblings(parameter, trigger.parameters, rule.parameters)
            counted = or_later(chosen, siblings) if parameter.ordered and rule.match == "or_later" else [chosen]
            self.accepts[parameter.key] = [option.value for option in counted]
            # not only those that count: what was seen instead is told by its name too
            self.labels |= {f"{parameter.key}:{option.value}": option.label for option in siblings}

    def _check_sale_value(self) -> None:
        chosen = self.body.sale_value
        if chosen is None:
            return
        if self.role != "referred":
            self.problem("sale_value", "wrong_role", "Only referred people bring sales; leave it out for referrers.")
            return
        offered = [kind.key for kind in self.manifest.record_kinds if kind.sale_value]
        if chosen.record_kind not in offered:
            message = f"A sale value is read from: {_names(offered)}."
            self.problem("sale_value.record_kind", "wrong_record_kind", message)
            return
        field = self.known.get((chosen.record_kind, chosen.field))
        if field is None:
            message = (
                f"{self.manifest.name} has no field {chosen.field!r} there; refresh the fields and choose another."
            )
            self.problem("sale_value.field", "unknown_field", message)
        elif field.type == "text":
            message = f"{field.label} is text: a sale counts only where it holds a plain amount such as 1234.50."
            self.warnings.append(SetupProblem(field="sale_value.field", message=message, code="text_amount"))
        elif field.type not in ("number", "money"):
            message = f"{field.label} is {field.type}; choose a field that holds money or a number."
            self.problem("sale_value.field", "wrong_type", message)

    def _named_fields(self, body: SetupInput, needed: frozenset[tuple[str, str]]) -> dict[str, list[Field]]:
        """Return the fields that the setup names, ``required`` set where a push cannot do without a value."""
        rows = (*body.mapping, *body.referrer_fields)
        places = [*((row.record_kind, row.field) for row in rows), *default_places(body.defaults)]
        if body.sale_value is not None:
            places.append((body.sale_value.record_kind, body.sale_value.field))
        named: dict[str, list[Field]] = {}
        for place in dict.fromkeys(places):
            if (field := self.known.get(place)) is not None:
                named.setdefault(place[0], []).append(msgspec.structs.replace(field, required=place in needed))
        return named


def or_later(chosen: Option, options: Sequence[Option]) -> list[Option]:
    """Return the options that prove that the chosen one was reached: itself and those behind it in its order.

    An option without a rank says nothing about others, so it counts alone.
    """
    if chosen.rank is None:
        return [chosen]
    later = [
        option
        for option in options
        if option.parent == chosen.parent and option.rank is not None and option.rank >= chosen.rank
    ]
    return sorted(later, key=lambda option: (option.rank or 0, option.value != chosen.value))


def _find(found: Sequence[T], key: str) -> T | None:
    return next((one for one in found if one.key == key), None)


def _names(found: Sequence[str]) -> str:
    return ", ".join(found) or "none"
