"""What an organization lays down for its tokens, and which changes of it make it weaker."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from datetime import timedelta
from typing import Any

from config.edge.refusals import Invalid
from fleets.models import DECIDING_ROLES, Membership, Organization
from fleets.scopes import Risk, Scope

MOST_APPROVALS = 5
LONGEST_LIFETIME = 3650  # days, of tokens; of a limit on their disuse too
LONGEST_REQUEST = 30 * 24  # hours
DECIDERS = tuple(DECIDING_ROLES)  # no entry lets anybody else decide
KINDS = ("personal", "fleet", "group", "organization", "application", "technical_user")  # of tokens
ROLES = tuple(Membership.Role.values)

ByRisk = tuple[Any, Any, Any]  # low, medium, high


@dataclass(frozen=True)
class OrganizationPolicy:
    """`approvals_needed`, `networks_required`: per risk (low, medium, high). `allowed_kinds`: the kinds of tokens that
    people of a role may issue, and have of their own; `scope_ceilings`: the most that their personal tokens may do.
    Lifetimes and `unused_limit_days` are in days, None is no limit. `request_hours`: how long a request stays open.
    `scope_risks`: of the scopes that are riskier here than they are built in, how risky.
    """

    default_lifetime_days: int = 90
    approvals_needed: ByRisk = (0, 0, 0)
    deciders: frozenset[str] = frozenset(DECIDERS)
    request_hours: int = 72
    narrowing_allowed: bool = True
    self_approval: bool = False
    maximum_lifetime_days: int | None = None
    never_allowed: bool = True
    networks_required: ByRisk = (False, False, False)
    allowed_kinds: tuple[tuple[str, frozenset[str]], ...] = ()
    scope_ceilings: tuple[tuple[str, frozenset[str]], ...] = ()
    unused_limit_days: int | None = None
    scope_risks: tuple[tuple[Scope, Risk], ...] = ()

    @property
    def default_lifetime(self) -> timedelta:
        """Never longer than the longest that is allowed."""
        return timedelta(days=min(self.default_lifetime_days, self.maximum_lifetime_days or LONGEST_LIFETIME))

    @property
    def maximum_lifetime(self) -> timedelta | None:
        return None if self.maximum_lifetime_days is None else timedelta(days=self.maximum_lifetime_days)

    @property
    def unused_limit(self) -> timedelta | None:
        return None if self.unused_limit_days is None else timedelta(days=self.unused_limit_days)

    @property
    def request_lifetime(self) -> timedelta:
        return timedelta(hours=self.request_hours)

    @property
    def most_approvals(self) -> int:
        """What the riskiest token needs; so many must approve a weaker policy too."""
        most: int = max(self.approvals_needed)
        return most

    def approvals_for(self, risk: Risk) -> int:
        needed: int = self.approvals_needed[risk]
        return needed

    def needs_network(self, risk: Risk) -> bool:
        needs: bool = self.networks_required[risk]
        return needs

    def kinds_of(self, role: str) -> frozenset[str] | None:
        """The kinds that people of this organization role may issue; None: all."""
        return dict(self.allowed_kinds).get(role)

    def lets_anybody_issue(self, kind: str) -> bool:
        """Whether people of at least one organization role may issue tokens of the kind."""
        return any(kinds is None or kind in kinds for kinds in map(self.kinds_of, ROLES))

    def ceiling_of(self, role: str) -> frozenset[str] | None:
        """The scopes that their personal tokens may hold; None: all."""
        return dict(self.scope_ceilings).get(role)

    def risk_of(self, scope: Scope) -> Risk:
        """How risky it is here: never less than it is built in, whatever was laid down before that became more."""
        return max(scope.built_in_risk, dict(self.scope_risks).get(scope, Risk.LOW))

    def highest_risk(self, scopes: Iterable[Scope]) -> Risk:
        """The risk of these scopes together; of none, low."""
        return max(map(self.risk_of, scopes), default=Risk.LOW)

    def as_json(self) -> dict[str, Any]:
        data = asdict(self)
        for name in ("approvals_needed", "networks_required"):
            data[name] = {risk.label: data[name][risk] for risk in Risk}
        for name in ("allowed_kinds", "scope_ceilings"):
            limits = dict(data[name])
            data[name] = {role: sorted(limits[role]) if role in limits else None for role in ROLES}
        raised = dict(self.scope_risks)
        data["scope_risks"] = {
            scope.value: raised[scope].label if scope in raised else None for scope in Scope
        }
        return {**data, "deciders": sorted(self.deciders)}


DEFAULT = OrganizationPolicy()


def policy_of(organization: Organization) -> OrganizationPolicy:
    """Where nothing was laid down the default, which costs a decision nothing."""
    if not organization.policy:
        return DEFAULT
    return _from_json(DEFAULT.as_json() | _filled(organization.policy))


def parsed(data: dict[str, Any], *, before: OrganizationPolicy) -> OrganizationPolicy:
    """The policy with the changes of `data`, of maps those of the keys alone that it names; Invalid names what it can't
    be."""
    merged = before.as_json()
    for name, value in data.items():
        read = _READERS.get(name)
        if read is None:
            raise Invalid.field(f"policy.{str(name)[:60]}", "There is no such policy.", "unknown_field")
        merged[name] = read(f"policy.{name}", value, merged[name])
    return _from_json(merged)


def weakened(before: OrganizationPolicy, after: OrganizationPolicy) -> list[str]:
    """In words, what of it holds people or tokens back less than before."""
    return list(_weakened(before, after))


def _weakened_by_risk(before: OrganizationPolicy, after: OrganizationPolicy) -> Iterator[str]:
    for risk in Risk:
        if after.approvals_for(risk) < before.approvals_for(risk):
            needed = after.approvals_for(risk)
            approvals = f"{needed or 'no'} approval{'s'[needed == 1 :]}"
            yield f"{risk.label} risk needs {approvals}, not {before.approvals_for(risk)}"
        if before.needs_network(risk) and not after.needs_network(risk):
            yield f"{risk.label} risk needs no network limit"
    for scope in Scope:
        was, becomes = before.risk_of(scope), after.risk_of(scope)
        if becomes < was:
            yield f"the risk of {scope} is {becomes.label}, not {was.label}"
        elif less := [
            risk.label for risk in Risk if was <= risk < becomes and _asks_less(after, becomes, before, risk)
        ]:
            yield f"{scope} is of {becomes.label} risk, which asks for less than {' and '.join(less)} risk did"


def _asks_less(after: OrganizationPolicy, risk: Risk, before: OrganizationPolicy, was: Risk) -> bool:
    """Policies may ask for more of what is less risky."""
    needs_no_network = before.needs_network(was) and not after.needs_network(risk)
    return needs_no_network or after.approvals_for(risk) < before.approvals_for(was)


def _weakened(before: OrganizationPolicy, after: OrganizationPolicy) -> Iterator[str]:
    yield from _weakened_by_risk(before, after)
    if more := sorted(after.deciders - before.deciders):
        yield f"{' and '.join(more)} may decide too"
    if after.self_approval and not before.self_approval:
        yield "people may approve their own requests"
    if after.never_allowed and not before.never_allowed:
        yield "tokens may be without an end"
    is_end_given = not before.never_allowed and before.maximum_lifetime_days is None
    if is_end_given and after.maximum_lifetime_days is not None:
        yield f"tokens without an end, which were refused, work {_days(after.maximum_lifetime_days)}"
    if _is_longer(after.maximum_lifetime_days, before.maximum_lifetime_days):
        yield f"tokens may live {_days(after.maximum_lifetime_days)}, not {_days(before.maximum_lifetime_days)}"
    if _is_longer(after.unused_limit_days, before.unused_limit_days):
        yield f"tokens may be unused {_days(after.unused_limit_days)}, not {_days(before.unused_limit_days)}"
    for role in ROLES:
        yield from _grown(f"{role}s may issue", before.kinds_of(role), after.kinds_of(role))
        yield from _grown(
            f"personal tokens of {role}s may hold", before.ceiling_of(role), after.ceiling_of(role)
        )


def _grown(words: str, before: frozenset[str] | None, after: frozenset[str] | None) -> Iterator[str]:
    if before is not None and (after is None or after - before):
        yield f"{words} {'anything' if after is None else ', '.join(sorted(after - before))}"


def _is_longer(after: int | None, before: int | None) -> bool:
    return before is not None and (after is None or after > before)


def _days(count: int | None) -> str:
    return "without limit" if count is None else f"for {count} day{'s'[count == 1 :]}"


def _filled(stored: dict[str, Any]) -> dict[str, Any]:
    """What is stored, in which of a map only some keys may stand."""
    complete = DEFAULT.as_json()
    return {
        name: {**complete[name], **value} if isinstance(complete[name], dict) else value
        for name, value in stored.items()
        if name in complete
    }


def _from_json(data: dict[str, Any]) -> OrganizationPolicy:
    values = {field.name: data[field.name] for field in fields(OrganizationPolicy)}
    for name in ("approvals_needed", "networks_required"):
        values[name] = tuple(data[name][risk.label] for risk in Risk)
    for name in ("allowed_kinds", "scope_ceilings"):
        limits = ((role, limit) for role, limit in data[name].items() if limit is not None)
        values[name] = tuple(sorted((role, frozenset(limit)) for role, limit in limits))
    risks = {scope: data["scope_risks"][scope] for scope in Scope}
    values["scope_risks"] = tuple((scope, Risk[risk.upper()]) for scope, risk in risks.items() if risk)
    return OrganizationPolicy(**{**values, "deciders": frozenset(data["deciders"])})


# How each part is read: (field, value, what it was) → the value as JSON

Reader = Callable[[str, Any, Any], Any]


def _whole(least: int, most: int, *, or_none: bool = False) -> Reader:
    def read(field: str, value: Any, before: Any) -> int | None:
        if value is None and or_none:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            none = ", or null for no limit" if or_none else ""
            raise Invalid.field(field, f"A whole number from {least} to {most}{none}.")
        return value

    return read


def _flag(field: str, value: Any, before: Any) -> bool:
    if not isinstance(value, bool):
        raise Invalid.field(field, "true or false.")
    return value


def _some_of(choices: tuple[str, ...], *, or_none: bool = False, least: int = 0) -> Reader:
    def read(field: str, value: Any, before: Any) -> list[str] | None:
        if value is None and or_none:
            return None
        is_list = isinstance(value, list) and all(isinstance(item, str) for item in value)
        if not is_list or len(set(value)) != len(value) or len(value) < least:
            some = "A list" if not least else f"A list with at least {least}"
            none = ", or null for no limit" if or_none else ""
            raise Invalid.field(field, f"{some} of {', '.join(choices)}, each at most once{none}.")
        if unknown := sorted(set(value) - set(choices)):
            raise Invalid.field(field, f"There is no {unknown[0][:63]!r}.", "unknown_value")
        return sorted(value)

    return read


def _map(keys: tuple[str, ...], of: str, read_one: Reader) -> Reader:
    def read(field: str, value: Any, before: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Invalid.field(field, f"An object of {', '.join(keys)}.")
        for key, inner in value.items():
            if key not in keys:
                raise Invalid.field(f"{field}.{str(key)[:20]}", f"There is no such {of}.", "unknown_field")
            before = {**before, key: read_one(f"{field}.{key}", inner, before.get(key))}
        return dict(before)

    return read


def _raised(field: str, value: Any, before: Any) -> str | None:
    """The risk of the scope that the field names, where that is more than it is built in; else None."""
    scope = Scope(field.rpartition(".")[2])
    if value is None:
        return None
    if not isinstance(value, str) or value not in _RISKS:
        raise Invalid.field(field, f"{', '.join(_RISKS)}, or null for the built-in risk.")
    risk = Risk[value.upper()]
    if risk < scope.built_in_risk:
        detail = f"The built-in risk of {scope} is {scope.built_in_risk.label}; it can only be raised."
        raise Invalid.field(field, detail, "below_built_in")
    return value if risk > scope.built_in_risk else None


_RISKS = tuple(risk.label for risk in Risk)
_READERS: dict[str, Reader] = {
    "default_lifetime_days": _whole(1, LONGEST_LIFETIME),
    "approvals_needed": _map(_RISKS, "risk", _whole(0, MOST_APPROVALS)),
    "deciders": _some_of(DECIDERS, least=1),
    "request_hours": _whole(1, LONGEST_REQUEST),
    "narrowing_allowed": _flag,
    "self_approval": _flag,
    "maximum_lifetime_days": _whole(1, LONGEST_LIFETIME, or_none=True),
    "never_allowed": _flag,
    "networks_required": _map(_RISKS, "risk", _flag),
    "allowed_kinds": _map(ROLES, "role", _some_of(KINDS, or_none=True)),
    "scope_ceilings": _map(ROLES, "role", _some_of(tuple(Scope), or_none=True)),
    "unused_limit_days": _whole(1, LONGEST_LIFETIME, or_none=True),
    "scope_risks": _map(tuple(Scope), "scope", _raised),
}
