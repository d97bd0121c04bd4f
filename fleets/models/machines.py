"""Machines of fleets, what was asked of them, and the inventory that they are made from."""

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower

from audit.trail import Target
from config.edge.clock import now
from config.edge.ids import uuid7
from fleets import paths
from fleets.models.owners import Fleet
from fleets.models.people import NAME, Organization, User


class MachineQuerySet(models.QuerySet["Machine"]):
    def live(self) -> "MachineQuerySet":
        return self.filter(deregistered_at=None, fleet__closed_at=None)


def no_configuration() -> dict[str, Any]:
    return {"cpus": None, "memory": None, "disks": [], "networks": []}


class Machine(models.Model):
    """A machine of a fleet. A later one with the same name is another machine."""

    class Kind(models.TextChoices):
        VIRTUAL = "virtual"
        PHYSICAL = "physical"

    currency_kind: ClassVar[str] = ""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="machines")
    fleet = models.ForeignKey(Fleet, models.PROTECT, related_name="machines")
    name = models.CharField(max_length=63, validators=[NAME])
    vmid = models.PositiveIntegerField(null=True, blank=True)
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.VIRTUAL)
    configuration = models.JSONField(default=no_configuration, blank=True)
    template = models.ForeignKey(
        "MachineTemplate", models.PROTECT, null=True, blank=True, related_name="machines"
    )
    version = models.PositiveBigIntegerField(default=1)
    registered_at = models.DateTimeField(default=now)
    deregistered_at = models.DateTimeField(null=True, blank=True)

    objects = MachineQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "vmid"],
                condition=Q(deregistered_at=None),
                name="one_live_machine_of_a_vmid",
            ),
            models.UniqueConstraint(
                "fleet", Lower("name"), condition=Q(deregistered_at=None), name="one_live_machine_of_a_name"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def path(self) -> str:
        return paths.machine_path(self.fleet.slug, self.pk)

    @property
    def tags(self) -> list[str]:
        """Sorted; prefetch `tag_rows` for lists."""
        return sorted(row.tag for row in self.tag_rows.all())

    def audit_target(self) -> Target:
        return Target("machine", str(self.pk), self.name, self.organization_id)


class MachineTag(models.Model):
    """A tag of a machine; rows, so that both databases can filter by one."""

    machine = models.ForeignKey(Machine, models.CASCADE, related_name="tag_rows")
    tag = models.CharField(max_length=63)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["machine", "tag"], name="a_machine_bears_a_tag_once")]
        indexes = [models.Index(fields=["tag"])]

    def __str__(self) -> str:
        return self.tag


class MachineAction(models.Model):
    """A recorded request to start, stop, pause, resume or restart, for the fleet's controller."""

    class Action(models.TextChoices):
        START = "start"
        STOP = "stop"
        PAUSE = "pause"
        RESUME = "resume"
        RESTART = "restart"

    class State(models.TextChoices):
        REQUESTED = "requested"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    machine = models.ForeignKey(Machine, models.PROTECT, related_name="actions")
    action = models.CharField(max_length=10, choices=Action)
    requested_by = models.ForeignKey(User, models.PROTECT, null=True)
    state = models.CharField(max_length=10, choices=State, default=State.REQUESTED)
    requested_at = models.DateTimeField(default=now)

    def __str__(self) -> str:
        return f"{self.action} {self.machine}"


class InventoryQuerySet(models.QuerySet[Any]):
    def present(self) -> "InventoryQuerySet":
        return self.filter(removed_at=None)


class InventoryItem(models.Model):
    """What templates, networks and images share: a name of their own among what is not removed."""

    currency_kind: ClassVar[str] = ""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="%(class)ss")
    name = models.CharField(max_length=63, validators=[NAME])
    description = models.CharField(max_length=500, blank=True)
    version = models.PositiveBigIntegerField(default=1)
    created_at = models.DateTimeField(default=now)
    removed_at = models.DateTimeField(null=True, blank=True)

    objects = InventoryQuerySet.as_manager()

    class Meta:
        abstract = True
        constraints = [
            models.UniqueConstraint(
                "organization",
                Lower("name"),
                condition=Q(removed_at=None),
                name="one_present_%(class)s_of_a_name",
            )
        ]

    def __str__(self) -> str:
        return self.name


class Network(InventoryItem):
    """A network that machines can be put in; `cidr` in canonical form, IPv4 or IPv6."""

    cidr = models.CharField(max_length=43, blank=True)

    def audit_target(self) -> Target:
        return Target("network", str(self.pk), self.name, self.organization_id)


class Image(InventoryItem):
    """What a machine's disk is filled from."""

    operating_system = models.CharField(max_length=63, blank=True)

    def audit_target(self) -> Target:
        return Target("image", str(self.pk), self.name, self.organization_id)


class MachineTemplate(InventoryItem):
    """What a machine is made from: one registered from a template is a quick machine."""

    configuration = models.JSONField(default=no_configuration, blank=True)
    image = models.ForeignKey(Image, models.PROTECT, null=True, blank=True, related_name="templates")
    network = models.ForeignKey(Network, models.PROTECT, null=True, blank=True, related_name="templates")

    def audit_target(self) -> Target:
        return Target("template", str(self.pk), self.name, self.organization_id)
