"""How the demo's companies come about and change: everything that is done to the estate."""

from functools import partial

from fleets import entries, machines, membership, organizations, owners, technical_users
from fleets.access import PersonAccess
from fleets.models import Machine, Membership, User
from fleets.paths import ROOT
from fleets.scopes import Scope
from tokens.demo.script import (
    BRIGHTWATER,
    ApplicationPlan,
    Company,
    FleetPlan,
    MachinePlan,
    Person,
    TechnicalUserPlan,
)
from tokens.demo.stage import ADMINISTRATOR, Stage

MADE_BY_OWNERS = {Membership.Role.OWNER, Membership.Role.ADMIN, Membership.Role.APPROVER}


def begin(stage: Stage, password: str) -> None:
    stage.people[stage.username] = User.objects.create_superuser(
        stage.username, password, name="Administrator"
    )


def write_company(stage: Stage, company: Company) -> None:
    boss = next(person for person in company.people if person.username == company.boss)
    stage.soon(ADMINISTRATOR, partial(_open, stage, company))
    stage.soon(
        ADMINISTRATOR if company is BRIGHTWATER else company.founder.address,
        partial(_invite, stage, company, boss),
    )
    for fleet in company.fleets:
        stage.soon(boss.address, partial(_open_fleet, stage, company, fleet.slug, fleet.name))
    for group in company.groups:
        stage.soon(boss.address, partial(_open_group, stage, company, group.slug, group.name, group.paths))
    if company is BRIGHTWATER:
        stage.soon(ADMINISTRATOR, partial(_invite, stage, company, company.founder))
    for person in company.people:
        if person is not boss:
            stage.soon(boss.address, partial(_invite, stage, company, person))
        stage.soon(boss.address, partial(_admit, stage, company, person))
        _write_departure(stage, company, person)
    for application in company.applications:
        stage.soon(boss.address, partial(_open_application, stage, company, application))
    for technical in company.technical_users:
        stage.soon(boss.address, partial(_make_technical_user, stage, company, technical))
    for fleet in company.fleets:
        _write_machines(stage, company, fleet, boss)


def _write_machines(stage: Stage, company: Company, fleet: FleetPlan, boss: Person) -> None:
    for machine in fleet.machines:
        stage.soon(boss.address, partial(_register, stage, company, fleet.slug, fleet.keeper, machine))
        if machine.deregistered_days_ago:
            act = partial(_deregister, stage, machine.name, fleet.keeper)
            stage.at(machine.deregistered_days_ago, fleet.keeper, act)


def _open(stage: Stage, company: Company) -> None:
    admin = stage.people[stage.username]
    owner = admin if company is BRIGHTWATER else stage.people[company.founder.username]
    stage.organizations[company.slug] = organizations.open_organization(
        slug=company.slug, name=company.name, owner=owner, by=PersonAccess(admin)
    )


def _invite(stage: Stage, company: Company, person: Person) -> None:
    """Owners, admins and approvers are made by an owner, others by the organization's admin."""
    inviter = company.boss
    if person.role in MADE_BY_OWNERS:
        inviter = stage.username if company is BRIGHTWATER else company.founder.username
    joined = membership.invite(
        stage.organizations[company.slug],
        username=person.username,
        name=person.name,
        role=person.role,
        by=stage.person(inviter),
    )
    stage.people[person.username] = joined.user


def _open_fleet(stage: Stage, company: Company, slug: str, name: str) -> None:
    organization = stage.organizations[company.slug]
    fleet = owners.open_fleet(organization, slug=slug, name=name, by=stage.person(company.boss))
    stage.fleets[company.slug, slug] = fleet


def _open_group(stage: Stage, company: Company, slug: str, name: str, paths: tuple[str, ...]) -> None:
    organization, boss = stage.organizations[company.slug], stage.person(company.boss)
    group = owners.open_group(organization, slug=slug, name=name, by=boss)
    for path in paths:
        entries.set_entry(organization, path=path, role="GroupUser", group=group, by=boss)
    stage.groups[company.slug, slug] = group


def _open_application(stage: Stage, company: Company, plan: ApplicationPlan) -> None:
    organization, boss = stage.organizations[company.slug], stage.person(company.boss)
    application = owners.open_application(
        organization, slug=plan.slug, name=plan.name, description=plan.description, by=boss
    )
    for username in plan.owners:
        membership.join_application(application, user=stage.people[username], by=boss)


def _make_technical_user(stage: Stage, company: Company, plan: TechnicalUserPlan) -> None:
    organization, boss = stage.organizations[company.slug], stage.person(company.boss)
    user = technical_users.make(organization, username=plan.username, name=plan.name, by=boss).user
    for path, role in plan.entries:
        entries.set_entry(organization, path=path, role=role, user=user, by=boss)


def _admit(stage: Stage, company: Company, person: Person) -> None:
    user, boss = stage.people[person.username], stage.person(company.boss)
    for slug, role in person.fleets:
        membership.join_fleet(stage.fleets[company.slug, slug], user=user, role=role, by=boss)
    for slug, role in person.groups:
        membership.join_group(stage.groups[company.slug, slug], user=user, role=role, by=boss)


def _write_departure(stage: Stage, company: Company, person: Person) -> None:
    if person.left_days_ago:
        stage.at(person.left_days_ago, person.username, partial(_leave, stage, company, person))
    if person.suspended_days_ago:
        stage.at(person.suspended_days_ago, company.boss, partial(_suspend, stage, company, person))


def _leave(stage: Stage, company: Company, person: Person) -> None:
    membership.leave(
        _membership(stage, company, person), by=stage.person(person.username), reason="A new job"
    )


def _suspend(stage: Stage, company: Company, person: Person) -> None:
    theirs = _membership(stage, company, person)
    membership.suspend(theirs, by=stage.person(company.boss), reason="On leave until further notice")


def _membership(stage: Stage, company: Company, person: Person) -> Membership:
    present = Membership.objects.present().select_related("user", "organization")
    return present.get(user=stage.people[person.username], organization=stage.organizations[company.slug])


def _register(stage: Stage, company: Company, slug: str, keeper: str, plan: MachinePlan) -> None:
    by = stage.person(keeper)
    kind = Machine.Kind.PHYSICAL if plan.vmid is None else Machine.Kind.VIRTUAL
    machine = machines.register(
        stage.fleets[company.slug, slug],
        name=plan.name,
        kind=kind,
        vmid=plan.vmid,
        tags=plan.tags.split(),
        by=by,
    )
    configuration = {
        "cpus": plan.cpus,
        "memory": plan.gibibytes * 2**30,
        "disks": [{"name": "system", "size": 64 * 2**30}],
        "networks": [{"name": plan.network}],
    }
    machines.configure(machine, changes=configuration, by=by)
    stage.machines[plan.name] = machine


def _deregister(stage: Stage, name: str, keeper: str) -> None:
    machines.deregister(stage.machines.pop(name), by=stage.person(keeper))


def write_daily_life(stage: Stage) -> None:
    stage.at(20.3, "priya.raman", partial(_retag, stage, "edge-gw-04", "priya.raman", "gateway staging oslo"))
    stage.at(
        16.7, "lukas.brandt", partial(_retag, stage, "lab-gpu-01", "lukas.brandt", "gpu research shared")
    )
    stage.at(
        13.5, "mei.tanaka", partial(_look, stage, "mei.tanaka", Scope.MACHINES_CONFIGURE, "/fleets/edge")
    )
    stage.at(6.8, "daniel.okafor", partial(_look, stage, "daniel.okafor", Scope.AUDIT_READ, ROOT))
    stage.at(4.6, "sofia.marquez", partial(_grow, stage, "harbour-db-01", "sofia.marquez", 96))


def _retag(stage: Stage, name: str, by: str, tags: str) -> None:
    machine = Machine.objects.select_related("fleet", "organization").get(pk=stage.machines[name].pk)
    machines.retag(machine, tags=tags.split(), by=stage.person(by))


def _grow(stage: Stage, name: str, by: str, gibibytes: int) -> None:
    machine = Machine.objects.select_related("fleet", "organization").get(pk=stage.machines[name].pk)
    machines.configure(machine, changes={"memory": gibibytes * 2**30}, by=stage.person(by))


def _look(stage: Stage, username: str, scope: str, path: str) -> None:
    """Somebody opens a page that is not theirs."""
    organization = stage.organizations[BRIGHTWATER.slug]
    stage.person(username).note(scope, path, organization.pk, allowed=False)
