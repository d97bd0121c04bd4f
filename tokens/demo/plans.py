"""The demo's tokens, one line of life each: who has them, what for, how they are used, and what becomes of them."""

from tokens.demo.script import (
    AT_WORK,
    NEVER,
    NIGHTLY,
    RARELY,
    STEADILY,
    Client,
    Decided,
    TokenPlan,
    Turn,
)

PROMETHEUS = Client("10.20.1.5", "Prometheus/2.53.1")
GRAFANA = Client("10.20.1.6", "Grafana/11.2.0")
ANSIBLE = Client("10.20.1.20", "ansible-httpget/2.17.4")
BACKUP = Client("10.20.1.30", "restic-rest/0.17.1")
RUNNER = Client("10.20.7.14", "act_runner/0.2.10")
TERRAFORM = Client("10.20.7.20", "Terraform/1.9.5")
SIEM = Client("10.20.2.8", "Vector/0.41.1")
SCRIPT = Client("10.20.6.41", "python-requests/2.32.3")
HARBOUR = Client("10.31.0.60", "Go-http-client/2.0")
CURL = Client("10.20.5.12", "curl/8.5.0")
VENDOR = Client("203.0.113.57", "okhttp/4.12.0")
AT_HOME = Client("198.51.100.23", "curl/8.7.1")
PHONE = Client("198.51.100.88", "Tokenhouse-Shortcuts/1.4 CFNetwork/1496")
SCADA = Client("172.18.9.4", "scada-bridge/3.8")
WALLBOARD = Client("172.18.3.70", "Grafana/11.1.4")
STAGING = Client("172.18.7.2", "GitLab-Runner/17.3.1")

PRIYA, SOFIA, LUKAS, MARCUS = "priya.raman", "sofia.marquez", "lukas.brandt", "marcus.oyelaran"
HANNA, INGRID = "hanna.lindqvist", "ingrid.solberg"
OWEN, AMINA = "owen.gallagher", "amina.diallo"

# the first one is whose secret `manage.py demo` prints
EDGE = (
    TokenPlan(
        "fleet:edge",
        "inventory-sync",
        PRIYA,
        31,
        "machines:read",
        "Keeps the asset register current",
        SCRIPT,
        STEADILY,
    ),
    TokenPlan(
        *(
            "fleet:edge",
            "prometheus",
            PRIYA,
            118,
            "machines:read snapshots:read",
            "Metrics",
            PROMETHEUS,
            STEADILY,
        ),
        lifetime="never",
    ),
    TokenPlan(
        *("fleet:edge", "ansible-nightly", PRIYA, 30),
        *(
            "machines:read machines:operate commands:execute files:write",
            "Nightly configuration run",
            ANSIBLE,
            NIGHTLY,
        ),
        rotate_days=30,
        turns=(Turn("rotate", 0.21, PRIYA, overlap_hours=24),),
    ),
    TokenPlan(
        *("fleet:edge", "backup-agent", PRIYA, 40, "machines:read snapshots:read snapshots:write"),
        *("Snapshots before every change", BACKUP, NIGHTLY),
        turns=(Turn("rotate", 10.3, PRIYA, overlap_hours=1),),
        networks=("10.20.1.0/24", "fd31:6f74::/48"),
        windows=((("mon", "tue", "wed", "thu", "fri", "sat", "sun"), "00:30", "04:30"),),
    ),
    TokenPlan(
        *("fleet:edge", "restart-bot", PRIYA, 22, "machines:read machines:operate"),
        *("Restarts the two gateways in Oslo when they hang", SCRIPT, AT_WORK),
        machines=("edge-gw-01", "edge-gw-02"),
    ),
    TokenPlan(
        *("fleet:edge", "firmware-rollout", PRIYA, 19, "machines:read machines:configure"),
        *("Firmware 4.2, one week", TERRAFORM, NIGHTLY),
        lifetime="7d",
        last_use=9,
    ),
    TokenPlan(
        *(
            "fleet:edge",
            "old-monitoring",
            PRIYA,
            110,
            "machines:read",
            "Before Prometheus",
            PROMETHEUS,
            STEADILY,
        ),
        last_use=18,
    ),
    TokenPlan(
        *("fleet:edge", "vendor-diagnostics", PRIYA, 26, "machines:read files:read"),
        *("Log access for the gateway's vendor", VENDOR, AT_WORK),
        lifetime="1m",
        last_use=3,
        turns=(Turn("disable", 6.4, PRIYA, "Until the vendor's review is done"),),
        networks=("203.0.113.0/24",),
        windows=((("mon", "tue", "wed", "thu", "fri"), "07:00", "17:00"),),
    ),
    TokenPlan(
        *(
            "fleet:edge",
            "legacy-poller",
            PRIYA,
            100,
            "machines:read",
            "Polls the old gateway",
            SCRIPT,
            RARELY,
        ),
        lifetime="6m",
        machines=("edge-legacy-01", "edge-gw-03"),
    ),
    TokenPlan(
        *(
            "fleet:edge",
            "ci-deploy",
            PRIYA,
            27,
            "machines:read machines:write",
            "Registers new gateways",
            RUNNER,
            STEADILY,
        ),
        last_use=7,
        turns=(Turn("revoke", 9.1, PRIYA, "Found in a public build log"),),
    ),
    TokenPlan(
        "fleet:edge", "grafana", PRIYA, 16, "machines:read", "Dashboards", GRAFANA, STEADILY, lifetime="never"
    ),
    TokenPlan(
        *("fleet:edge", "autoscaler", PRIYA, 2.5, "machines:read machines:create machines:configure"),
        *("Adds cache nodes under load", SCRIPT, NEVER),
        networks=("10.20.6.0/24",),
        rate="30/minute",
    ),
)

HARBOUR_SITES = (
    TokenPlan(
        *(
            "fleet:harbour",
            "crane-telemetry",
            SOFIA,
            30,
            "machines:read",
            "Crane positions",
            HARBOUR,
            STEADILY,
        ),
        networks=("10.31.0.0/24",),
    ),
    TokenPlan(
        *("fleet:harbour", "backup-agent", SOFIA, 38, "machines:read snapshots:read snapshots:write"),
        *("Database snapshots", BACKUP, NIGHTLY),
    ),
    TokenPlan(
        *("fleet:harbour", "night-shift", SOFIA, 24, "machines:read machines:operate"),
        *("The night shift's console", HARBOUR, NIGHTLY),
    ),
    TokenPlan(
        *("fleet:harbour", "dock-scheduler", SOFIA, 20, "machines:read schedules:manage"),
        *("Plans the docks", HARBOUR, AT_WORK),
        rotate_days=7,
    ),
    TokenPlan(
        *("fleet:harbour", "contractor", SOFIA, 23, "machines:read commands:execute"),
        *("Cabling, one week", VENDOR, AT_WORK),
        lifetime="7d",
        last_use=14,
    ),
    TokenPlan(
        *("fleet:harbour", "image-builder", SOFIA, 18, "machines:read templates:manage images:manage"),
        *("Terminal images", RUNNER, RARELY),
    ),
    TokenPlan(
        *(
            "fleet:harbour",
            "plc-bridge",
            SOFIA,
            14,
            "machines:read agent:invoke",
            "Talks to the PLCs",
            HARBOUR,
            STEADILY,
        ),
        last_use=1,
        turns=(Turn("disable", 2.2, SOFIA, "Maintenance of crane 2"),),
    ),
    TokenPlan(
        *(
            "fleet:harbour",
            "uptime-probe",
            SOFIA,
            29,
            "machines:read",
            "Replaced by crane-telemetry",
            HARBOUR,
            STEADILY,
        ),
        last_use=12.5,
        turns=(Turn("revoke", 12.2, MARCUS, "Not needed any more"),),
    ),
    TokenPlan(
        *(
            "fleet:harbour",
            "network-audit",
            SOFIA,
            9,
            "machines:read networks:manage",
            "Yearly audit",
            SCRIPT,
            AT_WORK,
        ),
        turns=(Turn("rotate", 1.1, SOFIA, overlap_hours=7 * 24),),
    ),
    TokenPlan(
        *("fleet:harbour", "gate-check", SOFIA, 12, "introspect machines:read"),
        *("The yard gate asks who may pass", HARBOUR, STEADILY),
    ),
)

LAB = (
    TokenPlan(
        *("fleet:lab", "ci-runner", LUKAS, 30, "machines:read machines:write machines:create"),
        *("Builds on fresh machines", RUNNER, STEADILY),
    ),
    TokenPlan(
        *("fleet:lab", "nightly-rebuild", LUKAS, 28, "machines:read machines:operate snapshots:write"),
        *("Resets the lab every night", ANSIBLE, NIGHTLY),
    ),
    TokenPlan(
        *(
            "fleet:lab",
            "load-test",
            LUKAS,
            13,
            "machines:read machines:operate",
            "Load test, one week",
            SCRIPT,
            AT_WORK,
        ),
        lifetime="7d",
        last_use=5,
    ),
    TokenPlan("fleet:lab", "notebook", LUKAS, 8, "machines:read", "Jupyter", SCRIPT, AT_WORK),
    TokenPlan(
        *("fleet:lab", "gpu-scheduler", LUKAS, 17),
        *(
            "machines:read machines:operate schedules:manage agent:invoke",
            "Queues research jobs",
            SCRIPT,
            STEADILY,
        ),
    ),
    TokenPlan(
        *("fleet:lab", "sandbox", LUKAS, 25, "Operator", "For trying things out", CURL, RARELY),
        turns=(
            Turn("disable", 15.2, LUKAS, "Inventory week"),
            Turn("enable", 14.1, LUKAS, "Inventory week is over"),
        ),
    ),
    TokenPlan(
        *(
            "fleet:lab",
            "thesis-project",
            LUKAS,
            21,
            "machines:read",
            "A student's measurements",
            SCRIPT,
            AT_WORK,
        ),
        last_use=3.5,
        turns=(Turn("revoke_itself", 3.2, LUKAS),),
    ),
    TokenPlan(
        *("fleet:lab", "snapshot-cleaner", LUKAS, 6.4, "machines:read snapshots:write commands:execute"),
        *("Removes forgotten snapshots", SCRIPT, NEVER),
        decided=Decided("lapse", 3.38),
    ),
    TokenPlan(
        *("fleet:lab", "terraform", LUKAS, 11),
        *(
            "machines:read machines:write machines:create machines:configure",
            "The lab as code",
            TERRAFORM,
            AT_WORK,
        ),
        networks=("10.20.7.0/24",),
        decided=Decided("approve", 10.93, HANNA, "Agreed with Lukas: the lab only"),
    ),
)

PEOPLE = (
    TokenPlan(
        *(
            "admin",
            "laptop-cli",
            "admin",
            29,
            "machines:read tokens:read audit:read",
            "Daily work",
            CURL,
            AT_WORK,
        ),
        fleet="edge",
    ),
    TokenPlan(
        *("admin", "break-glass", "admin", 60, "Administrator", "Sealed envelope in the safe", CURL, NEVER),
        lifetime="never",
        separated=False,
    ),
    TokenPlan("admin", "audit-export", "admin", 15, "audit:read", "Weekly export", SCRIPT, RARELY),
    TokenPlan(
        *("ingrid.solberg", "board-report", "ingrid.solberg", 26, "audit:read machines:read"),
        *("Numbers for the board", SCRIPT, RARELY),
        fleet="harbour",
    ),
    TokenPlan(
        *(MARCUS, "automation", MARCUS, 25, "machines:read machines:operate tokens:read tokens:manage"),
        *("Joiners and leavers", SCRIPT, AT_WORK),
        fleet="lab",
    ),
    TokenPlan(
        MARCUS, "phone", MARCUS, 12, "machines:read", "Status on the go", PHONE, AT_WORK, fleet="harbour"
    ),
    TokenPlan(
        *(MARCUS, "old-laptop", MARCUS, 95, "Operator", "Daily work", CURL, NEVER),
        turns=(Turn("revoke", 33.4, MARCUS, "Laptop returned"),),
    ),
    TokenPlan(
        *("hanna.lindqvist", "review-queue", "hanna.lindqvist", 20, "approvals:decide tokens:read"),
        *("Decides from the terminal", CURL, AT_WORK),
    ),
    TokenPlan(
        *(
            "tomasz.wrobel",
            "siem-export",
            "tomasz.wrobel",
            30,
            "audit:read",
            "Feeds the SIEM",
            SIEM,
            STEADILY,
        ),
        networks=("10.20.2.8/32",),
        rate="600/hour",
    ),
    TokenPlan(
        *(
            "tomasz.wrobel",
            "evidence",
            "tomasz.wrobel",
            27,
            "audit:read tokens:read",
            "Yearly audit",
            SCRIPT,
            AT_WORK,
        ),
        lifetime="7d",
        last_use=20,
    ),
    TokenPlan(
        *(
            PRIYA,
            "laptop",
            PRIYA,
            30,
            "machines:read machines:operate machines:configure",
            "Daily work",
            CURL,
            AT_WORK,
        ),
        fleet="edge",
    ),
    TokenPlan(
        *(PRIYA, "terraform", PRIYA, 10, "machines:read machines:write machines:create machines:configure"),
        *("Gateways as code", TERRAFORM, AT_WORK),
        fleet="edge",
        decided=Decided("approve", 9.91, INGRID, "For the gateways of this quarter"),
    ),
    TokenPlan(
        *(PRIYA, "jupyter", PRIYA, 18, "machines:read", "Traffic analysis", SCRIPT, AT_WORK),
        fleet="edge",
        last_use=5,
        turns=(Turn("disable", 4.1, PRIYA, "On holiday"),),
    ),
    TokenPlan(
        *(
            PRIYA,
            "remote-hands",
            PRIYA,
            2.46,
            "machines:read commands:execute",
            "Commands from the laptop",
            CURL,
            NEVER,
        ),
        fleet="edge",
        decided=Decided("reject", 2.31, HANNA, "Use the fleet's own token: this one would leave with you"),
    ),
    TokenPlan(
        *("daniel.okafor", "on-call", "daniel.okafor", 28, "Operator", "The pager's script", PHONE, STEADILY),
        fleet="harbour",
    ),
    TokenPlan(
        *(
            "daniel.okafor",
            "home-desktop",
            "daniel.okafor",
            6,
            "machines:read",
            "Working from home",
            AT_HOME,
            AT_WORK,
        ),
        fleet="edge",
    ),
    TokenPlan(SOFIA, "laptop", SOFIA, 22, "Viewer", "Daily work", HARBOUR, AT_WORK, fleet="harbour"),
    TokenPlan(
        *(SOFIA, "tablet", SOFIA, 11, "machines:read machines:operate", "On the quay", HARBOUR, AT_WORK),
        fleet="harbour",
        lifetime="1w",
        last_use=3,
    ),
    TokenPlan(
        *(LUKAS, "dev-vm", LUKAS, 16, "machines:read machines:operate", "Development", SCRIPT, AT_WORK),
        fleet="lab",
        separated=False,
    ),
    TokenPlan(
        *(
            "mei.tanaka",
            "dashboard",
            "mei.tanaka",
            24,
            "machines:read snapshots:read",
            "Reports",
            GRAFANA,
            AT_WORK,
        ),
        fleet="edge",
    ),
    TokenPlan(
        *("mei.tanaka", "spreadsheet", "mei.tanaka", 5, "machines:read", "One report", SCRIPT, AT_WORK),
        fleet="harbour",
        lifetime="7d",
    ),
    TokenPlan(
        *("jonas.eriksen", "laptop", "jonas.eriksen", 75, "Operator", "Daily work", HARBOUR, STEADILY),
        fleet="harbour",
        last_use=5,
    ),
    TokenPlan(
        *("jonas.eriksen", "phone", "jonas.eriksen", 70, "machines:read", "Status on the go", PHONE, RARELY),
        fleet="harbour",
        lifetime="never",
        last_use=8,
    ),
    TokenPlan(
        *("farah.haddad", "experiments", "farah.haddad", 45, "Operator", "Lab work", SCRIPT, STEADILY),
        fleet="lab",
        last_use=2,
    ),
)

OTHERS = (
    TokenPlan(
        *("group:on-call", "pager", SOFIA, 27, "Operator", "Restarts from the pager", PHONE, STEADILY),
        fleet="harbour",
    ),
    TokenPlan(
        *("group:on-call", "runbook", SOFIA, 13),
        *(
            "machines:read machines:operate machines:configure commands:execute",
            "The runbook's steps",
            SCRIPT,
            RARELY,
        ),
        fleet="lab",
    ),
    TokenPlan(
        *(
            "group:reporting",
            "weekly-numbers",
            MARCUS,
            24,
            "machines:read",
            "Numbers for the board",
            SCRIPT,
            RARELY,
        ),
        fleet="lab",
        turns=(Turn("disable", 3.3, MARCUS, "The report is being rebuilt"),),
    ),
    TokenPlan(
        "organization:brightwater",
        "status-page",
        MARCUS,
        29,
        "Viewer",
        "The public page",
        GRAFANA,
        STEADILY,
        fleet="edge",
    ),
    TokenPlan(
        *(
            "organization:brightwater",
            "provisioner",
            MARCUS,
            16,
            "Admin",
            "Machines from templates",
            TERRAFORM,
            AT_WORK,
        ),
        fleet="lab",
        lifetime="6m",
        extended=("templates", "images"),
    ),
    TokenPlan(
        *(
            "application:dispatch",
            "planner",
            "daniel.okafor",
            21,
            "machines:read",
            "Asks where terminals are",
            HARBOUR,
        ),
        AT_WORK,
        fleet="harbour",
        entries=(("/fleets/harbour", "Viewer"),),
    ),
    TokenPlan(
        *(
            "application:dispatch",
            "planner-test",
            "daniel.okafor",
            5,
            "machines:read",
            "Not granted anything yet",
            CURL,
        ),
        NEVER,
    ),
    TokenPlan(
        *(
            "application:asset-register",
            "nightly",
            "mei.tanaka",
            28,
            "machines:read",
            "Reads every machine",
            SCRIPT,
        ),
        NIGHTLY,
        fleet="edge",
        entries=(("/", "Viewer"),),
    ),
    TokenPlan(
        *(
            "technical:svc-monitoring",
            "metrics",
            MARCUS,
            30,
            "machines:read snapshots:read",
            "Metrics",
            PROMETHEUS,
        ),
        AT_WORK,
        fleet="lab",
    ),
    TokenPlan(
        *(
            "technical:svc-monitoring",
            "alerts",
            MARCUS,
            30,
            "machines:read",
            "Wakes the pager",
            GRAFANA,
            RARELY,
        ),
        fleet="edge",
    ),
    TokenPlan(
        *(
            "technical:svc-patching",
            "windows",
            MARCUS,
            19,
            "machines:read machines:operate",
            "Patch Tuesday",
            ANSIBLE,
        ),
        RARELY,
        fleet="lab",
        turns=(Turn("rotate", 2.7, MARCUS),),
    ),
)

KESTREL = (
    TokenPlan(
        "fleet:turbines", "blade-monitor", AMINA, 30, "machines:read", "Vibration alarms", SCADA, STEADILY
    ),
    TokenPlan(
        *(
            "fleet:turbines",
            "scada-bridge",
            AMINA,
            29,
            "machines:read agent:invoke",
            "Set points",
            SCADA,
            STEADILY,
        ),
        lifetime="6m",
    ),
    TokenPlan(
        "fleet:control-room", "wallboard", OWEN, 25, "machines:read", "The big screens", WALLBOARD, STEADILY
    ),
    TokenPlan(
        *("fleet:control-room", "maintenance", OWEN, 15, "machines:read machines:operate"),
        *("Maintenance windows", SCADA, RARELY),
        last_use=4,
        turns=(Turn("disable", 4, OWEN, "Until the next window"),),
    ),
    TokenPlan(
        *(
            "fleet:staging",
            "ci",
            OWEN,
            20,
            "machines:read machines:write machines:create",
            "Builds",
            STAGING,
            AT_WORK,
        ),
    ),
    TokenPlan(
        *("fleet:staging", "old-ci", OWEN, 64, "machines:read machines:write", "Builds", STAGING, NEVER),
        lifetime="1y",
        turns=(Turn("revoke", 20.5, OWEN, "Moved to the new runner"),),
    ),
    TokenPlan(
        *("fleet:staging", "trial", OWEN, 17, "machines:read", "A tool on trial", VENDOR, AT_WORK),
        lifetime="7d",
        last_use=9,
    ),
    TokenPlan(
        *(
            OWEN,
            "laptop",
            OWEN,
            28,
            "machines:read tokens:read tokens:manage",
            "Daily work",
            STAGING,
            AT_WORK,
        ),
        fleet="staging",
    ),
    TokenPlan(
        *(AMINA, "laptop", AMINA, 26, "machines:read machines:operate", "Daily work", SCADA, AT_WORK),
        fleet="turbines",
    ),
    TokenPlan(
        "viktor.novak", "audit-export", "viktor.novak", 24, "audit:read", "Monthly report", STAGING, RARELY
    ),
)

BRIGHTWATER = (*EDGE, *HARBOUR_SITES, *LAB, *PEOPLE, *OTHERS)


def of(owner: str, name: str) -> TokenPlan:
    """The plan of the first company's token."""
    return next(plan for plan in BRIGHTWATER if (plan.owner, plan.name) == (owner, name))


CRANES = of("fleet:harbour", "crane-telemetry")
NIGHTLY_RUN = of("fleet:edge", "ansible-nightly")
RUNBOOK = of("group:on-call", "runbook")
