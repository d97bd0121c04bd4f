"""What the page of one token says about it."""

from audit.models import Event
from audit.policy import may_read_trail
from config.edge.access import Access
from config.edge.clock import now
from config.edge.facts import Cell, Fact, Section, linked, written, written_to_the_second
from fleets.models import User
from fleets.organization_policy import policy_of
from fleets.scopes import Scope
from tokens.admin import emergency, security
from tokens.admin.marks import badge, end_mark_in_full, reach_mark, risk_badge, status_badge
from tokens.admin.timeline import timeline_of
from tokens.admin.words import kind_of, level_of
from tokens.models import Grant, Token

NEWEST = 20  # events


def facts_of(row: Token) -> list[Fact]:
    used = written(row.last_used_at or "never")
    return [
        Fact("Status", status_badge(row)),
        Fact("Token ID", row.pk),
        Fact("Kind", kind_of(row)),
        Fact("Owner", row.owner if isinstance(row.owner, User) else linked(row.owner)),
        Fact("Organization", row.organization),
        Fact("Acts as", row.principal.username),
        Fact("Description", row.description),
        Fact("Risk", risk_badge(row)),
        Fact("Role", row.role),
        Fact("Access level", level_of(row)),
        Fact("Machines", reach_mark(row)),
        Fact("Expires", end_mark_in_full(row)),
        Fact("Last used", f"{used} from {row.last_used_address}" if row.last_used_address else used),
        Fact("Secret starts with", row.secret_hint),
        Fact("Secret last rotated", row.rotated_at),
        Fact("Rotation due", row.rotation_due_at),
        Fact("Created", f"{written(row.created_at)} by {row.created_by_name}"),
        Fact("Approved", row.approved_at),
    ]


def sections_of(row: Token, by: Access) -> list[Section]:
    scopes, rules = [Scope(name) for name in row.scopes], policy_of(row.organization)
    held = [
        [Cell(scope), Cell(badge("risk", rules.risk_of(scope).label)), Cell(scope.description)]
        for scope in scopes
    ]
    sections = [Section("Scopes", ("Scope", "Risk", "Lets it"), held, "It holds no scope.")]
    if not row.is_ended:
        sections += [grants_of(row), security.section_of(row, by), secrets_of(row)]
    sections += emergency.sections_of(row, by)
    sections.append(timeline_of(row))
    if may_read_trail(by, row.organization_id):
        sections.append(events_of(row))
    return sections


def grants_of(row: Token) -> Section:
    machines = {machine_row.machine.path: machine_row for machine_row in row.machine_rows.all()}
    rows = []
    for grant in row.grants.all():
        named = machines.get(grant.path)
        gone = " (deregistered)" if named and named.machine.deregistered_at else ""
        what = f"{grant.path} — {named.name}{gone}" if named else grant.path
        rows.append([Cell(what), Cell(grant.role or "all its scopes"), Cell(how_far(grant))])
    nothing = (
        "Nothing is granted to it: it can do nothing."
        if row.privilege_separation
        else "It has no rows of its own: it may use its scopes wherever its owner may."
    )
    return Section("Where it may use them", ("Path", "What", "How far"), rows, nothing)


def secrets_of(row: Token) -> Section:
    rows = [
        [
            Cell(f"No. {secret.generation}"),
            Cell(secret.created_at),
            Cell(secret.valid_until or "until the next rotation"),
            Cell(secret.last_used_at or "never"),
        ]
        for secret in row.secrets.live(now()).order_by("-generation")
    ]
    headers = ("Secret", "Made", "Valid until", "Last used")
    return Section("Living secrets", headers, rows, "None works any more.")


def events_of(row: Token) -> Section:
    events = Event.objects.about_token(row.pk).filter(organization_id=row.organization_id)[:NEWEST]
    rows = [
        [
            Cell(written_to_the_second(event.at), linked(event).link),
            Cell(event.action),
            Cell(event.outcome),
            Cell(event.actor_label),
            Cell(event.reason),
        ]
        for event in events
    ]
    headers = ("When (UTC)", "Action", "Outcome", "Who", "Reason")
    return Section("Latest events", headers, rows, "Nothing was recorded yet.")


def how_far(grant: Grant) -> str:
    return "and below" if grant.propagate else "only there"
