"""The shapes in which the demo is written down, and the companies: people, fleets, machines, groups."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Pace:
    """How often a client comes, how many calls it makes then, and when."""

    visits_a_day: float
    calls: int
    hours: tuple[int, int] = (0, 24)  # UTC, the second excluded
    only_weekdays: bool = False


STEADILY = Pace(0.55, 5)
NIGHTLY = Pace(0.6, 4, (1, 4))
AT_WORK = Pace(0.45, 4, (7, 17), only_weekdays=True)
RARELY = Pace(0.15, 2, (8, 16), only_weekdays=True)
NEVER = Pace(0, 0)


@dataclass(frozen=True)
class Client:
    """The program that uses a token, and where it runs."""

    address: str
    agent: str


@dataclass(frozen=True)
class Turn:
    """What becomes of a token later: rotate, disable, enable, revoke, or revoke_itself."""

    what: str
    days_ago: float
    by: str
    reason: str = ""
    overlap_hours: int = 0


@dataclass(frozen=True)
class Decided:
    """What becomes of a request for approval: approve, reject or lapse."""

    what: str
    days_ago: float
    by: str = ""
    comment: str = ""


@dataclass(frozen=True)
class TokenPlan:
    """A token. `owner` is written as on the command line; `decided`: of one that was issued while its risk needed an
    approval. Without, it still waits.

    `entries`: (path, role) that the boss grants its technical user, which holds nothing without. `windows`: (days,
    start, end), as in the API.
    """

    owner: str
    name: str
    by: str
    days_ago: float
    holds: str  # scopes, or a role
    purpose: str
    client: Client
    pace: Pace
    lifetime: str = ""  # as in the API's expires_in; empty is the organization's default
    fleet: str = ""  # whose machines a person's token asks for
    machines: tuple[str, ...] = ()
    extended: tuple[str, ...] = ()
    entries: tuple[tuple[str, str], ...] = ()
    separated: bool = True
    rotate_days: int = 0
    last_use: float = 0  # days ago
    turns: tuple[Turn, ...] = ()
    decided: Decided | None = None
    networks: tuple[str, ...] = ()
    rate: str = ""
    windows: tuple[tuple[tuple[str, ...], str, str], ...] = ()

    @property
    def role(self) -> str | None:
        return None if ":" in self.holds else self.holds

    @property
    def scopes(self) -> list[str]:
        return self.holds.split() if ":" in self.holds else []


@dataclass(frozen=True)
class Person:
    username: str
    name: str
    role: str
    address: str
    fleets: tuple[tuple[str, str], ...] = ()  # (slug, role)
    groups: tuple[tuple[str, str], ...] = ()
    left_days_ago: float = 0
    suspended_days_ago: float = 0


@dataclass(frozen=True)
class MachinePlan:
    name: str
    vmid: int | None
    tags: str
    cpus: int
    gibibytes: int
    network: str
    deregistered_days_ago: float = 0


@dataclass(frozen=True)
class FleetPlan:
    slug: str
    name: str
    keeper: str  # who registers its machines
    machines: tuple[MachinePlan, ...]


@dataclass(frozen=True)
class GroupPlan:
    slug: str
    name: str
    paths: tuple[str, ...]


@dataclass(frozen=True)
class ApplicationPlan:
    slug: str
    name: str
    description: str
    owners: tuple[str, ...]  # usernames


@dataclass(frozen=True)
class TechnicalUserPlan:
    username: str
    name: str
    entries: tuple[tuple[str, str], ...]  # (path, role)


@dataclass(frozen=True)
class Company:
    """`founder` owns the organization besides whoever runs the installation, or alone; `boss` runs its daily life."""

    slug: str
    name: str
    founder: Person
    boss: str
    people: tuple[Person, ...]
    fleets: tuple[FleetPlan, ...]
    groups: tuple[GroupPlan, ...]
    applications: tuple[ApplicationPlan, ...] = ()
    technical_users: tuple[TechnicalUserPlan, ...] = ()


INGRID = Person("ingrid.solberg", "Ingrid Solberg", "owner", "10.20.4.11")

BRIGHTWATER = Company(
    slug="brightwater",
    name="Brightwater Logistics",
    founder=INGRID,
    boss="marcus.oyelaran",
    people=(
        Person("marcus.oyelaran", "Marcus Oyelaran", "admin", "10.20.4.17"),
        Person("hanna.lindqvist", "Hanna Lindqvist", "approver", "10.20.4.23"),
        Person("tomasz.wrobel", "Tomasz Wróbel", "auditor", "10.20.4.31"),
        Person("priya.raman", "Priya Raman", "member", "10.20.5.12", fleets=(("edge", "manager"),)),
        Person(
            "daniel.okafor",
            "Daniel Okafor",
            "member",
            "10.20.5.19",
            fleets=(("edge", "operator"),),
            groups=(("on-call", "user"),),
        ),
        Person(
            "sofia.marquez",
            "Sofía Márquez",
            "member",
            "10.31.0.8",
            fleets=(("harbour", "manager"),),
            groups=(("on-call", "admin"),),
        ),
        Person(
            "lukas.brandt",
            "Lukas Brandt",
            "member",
            "10.20.6.40",
            fleets=(("lab", "manager"), ("harbour", "operator")),
        ),
        Person(
            "mei.tanaka",
            "Mei Tanaka",
            "member",
            "10.20.5.33",
            fleets=(("edge", "viewer"), ("harbour", "viewer")),
            groups=(("reporting", "user"),),
        ),
        Person(
            "jonas.eriksen",
            "Jonas Eriksen",
            "member",
            "10.31.0.15",
            fleets=(("harbour", "operator"),),
            left_days_ago=7.3,
        ),
        Person(
            "farah.haddad",
            "Farah Haddad",
            "member",
            "10.20.6.52",
            fleets=(("lab", "operator"),),
            suspended_days_ago=5.2,
        ),
    ),
    fleets=(
        FleetPlan(
            "edge",
            "Edge gateways",
            "priya.raman",
            (
                MachinePlan("edge-gw-01", 101, "gateway production oslo", 4, 8, "vlan-110"),
                MachinePlan("edge-gw-02", 102, "gateway production oslo", 4, 8, "vlan-110"),
                MachinePlan("edge-gw-03", 103, "gateway production bergen", 4, 8, "vlan-120"),
                MachinePlan("edge-gw-04", 104, "gateway staging", 2, 4, "vlan-190"),
                MachinePlan("edge-cache-01", 110, "cache production oslo", 8, 32, "vlan-110"),
                MachinePlan(
                    "edge-legacy-01",
                    199,
                    "gateway legacy bergen",
                    2,
                    2,
                    "vlan-120",
                    deregistered_days_ago=10.4,
                ),
            ),
        ),
        FleetPlan(
            "harbour",
            "Harbour sites",
            "sofia.marquez",
            (
                MachinePlan("crane-plc-01", None, "plc production bergen", 2, 2, "ot-31"),
                MachinePlan("crane-plc-02", None, "plc production bergen", 2, 2, "ot-31"),
                MachinePlan("dock-terminal-01", 201, "terminal production", 4, 8, "vlan-131"),
                MachinePlan("harbour-db-01", 210, "database production", 16, 64, "vlan-132"),
            ),
        ),
        FleetPlan(
            "lab",
            "Engineering lab",
            "lukas.brandt",
            (
                MachinePlan("lab-build-01", 301, "build linux", 16, 32, "vlan-160"),
                MachinePlan("lab-build-02", 302, "build linux", 16, 32, "vlan-160"),
                MachinePlan("lab-gpu-01", 310, "gpu research", 32, 128, "vlan-161"),
                MachinePlan("lab-sandbox-01", 320, "sandbox", 4, 8, "vlan-169"),
            ),
        ),
    ),
    groups=(
        GroupPlan("on-call", "On-call engineers", ("/fleets/harbour", "/fleets/lab")),
        GroupPlan("reporting", "Reporting", ("/fleets/lab",)),
    ),
    applications=(
        ApplicationPlan("dispatch", "Dispatch", "Plans which lorry comes when", ("daniel.okafor",)),
        ApplicationPlan(
            "asset-register",
            "Asset register",
            "What the company owns, and where",
            ("mei.tanaka", "priya.raman"),
        ),
    ),
    technical_users=(
        TechnicalUserPlan("svc-monitoring", "Monitoring", (("/", "Viewer"),)),
        TechnicalUserPlan(
            "svc-patching", "Patching", (("/fleets/edge", "Operator"), ("/fleets/lab", "Admin"))
        ),
    ),
)

KESTREL = Company(
    slug="kestrel",
    name="Kestrel Energy",
    founder=INGRID,  # she belongs to both
    boss="owen.gallagher",
    people=(
        Person("owen.gallagher", "Owen Gallagher", "admin", "172.18.3.9"),
        Person("amina.diallo", "Amina Diallo", "member", "172.18.3.21", fleets=(("turbines", "manager"),)),
        Person("viktor.novak", "Viktor Novák", "auditor", "172.18.3.40"),
    ),
    fleets=(
        FleetPlan(
            "turbines",
            "Turbine controllers",
            "amina.diallo",
            (
                MachinePlan("wtg-01", None, "controller offshore", 2, 4, "scada-1"),
                MachinePlan("wtg-02", None, "controller offshore", 2, 4, "scada-1"),
                MachinePlan("wtg-03", None, "controller offshore", 2, 4, "scada-1"),
                MachinePlan("wtg-04", None, "controller onshore", 2, 4, "scada-2"),
            ),
        ),
        FleetPlan(
            "control-room",
            "Control room",
            "owen.gallagher",
            (
                MachinePlan("wallboard-01", 101, "display", 4, 8, "vlan-20"),
                MachinePlan("wallboard-02", 102, "display", 4, 8, "vlan-20"),
                MachinePlan("historian-01", 110, "database production", 16, 64, "vlan-21"),
                MachinePlan("operator-desk-01", 120, "desktop", 8, 16, "vlan-20"),
            ),
        ),
        FleetPlan(
            "staging",
            "Staging",
            "owen.gallagher",
            (
                MachinePlan("stage-web-01", 401, "web staging", 4, 8, "vlan-40"),
                MachinePlan("stage-web-02", 402, "web staging", 4, 8, "vlan-40"),
                MachinePlan("stage-db-01", 410, "database staging", 8, 16, "vlan-40"),
                MachinePlan("stage-runner-01", 420, "build staging", 8, 16, "vlan-41"),
            ),
        ),
    ),
    groups=(GroupPlan("field-crew", "Field crew", ("/fleets/turbines",)),),
)
