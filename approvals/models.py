"""Requests for approval and the decisions on them. What a request is about is known to its subject's handler alone.

What each status may become is here (`MOVES`), the writer of a status too (`move_to`).
"""

from typing import Any, ClassVar
from uuid import UUID

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import ExpressionWrapper, F, OuterRef, Q, Subquery, Value

from audit.trail import Target
from config.edge.clock import now
from config.edge.ids import uuid7
from config.edge.refusals import IllegalMove
from fleets import currency
from fleets.models import Membership, Organization, User
from fleets.scopes import Risk


class ApprovalRequestQuerySet(models.QuerySet["ApprovalRequest"]):
    def open(self) -> "ApprovalRequestQuerySet":
        """Not settled, whether its time is over or not."""
        return self.filter(status=ApprovalRequest.Status.OPEN)

    def waiting(self) -> "ApprovalRequestQuerySet":
        """Open, and still in time."""
        return self.open().filter(expires_at__gt=now())

    def overdue(self) -> "ApprovalRequestQuerySet":
        """Out of time, and not yet recorded as lapsed."""
        return self.open().filter(expires_at__lte=now())

    def half_over(self) -> "ApprovalRequestQuerySet":
        """Waiting for at least half of its time, and nobody was reminded."""
        at = Value(now(), models.DateTimeField())
        past = ExpressionWrapper(at - F("opened_at"), models.DurationField())
        left = ExpressionWrapper(F("expires_at") - at, models.DurationField())
        return self.waiting().filter(reminded_at=None).alias(past=past, left=left).filter(past__gte=F("left"))

    def with_status(self, status: str) -> "ApprovalRequestQuerySet":
        """By `derived_status`: what is out of time has lapsed, recorded or not."""
        if status == ApprovalRequest.Status.OPEN:
            return self.waiting()
        if status == ApprovalRequest.Status.LAPSED:
            return self.filter(
                Q(status=status) | Q(status=ApprovalRequest.Status.OPEN, expires_at__lte=now())
            )
        return self.filter(status=status)

    def presented(self) -> "ApprovalRequestQuerySet":
        """With what lists and pages show, in a fixed number of queries; of who voted the role that they have now."""
        here = {"user": OuterRef("user"), "organization": OuterRef("request__organization")}
        role_now = Subquery(Membership.objects.active().filter(**here).values("role")[:1])
        votes = Decision.objects.select_related("user").annotate(role_now=role_now)
        decisions = models.Prefetch("decisions", votes)
        originators = models.Prefetch("originators", User.objects.only("pk"))
        return self.select_related("organization", "requested_by").prefetch_related(decisions, originators)


class ApprovalRequest(models.Model):
    """Something that waits until enough people agree. `subject_*` say what it is about, as an event does."""

    class Kind(models.TextChoices):
        """What a request is called; each has a handler in subjects."""

        TOKEN_ISSUE = "token_issue", "new token"
        TOKEN_CHANGE = "token_change", "change of a token"
        POLICY_CHANGE = "policy_change", "change of policy"

    class Status(models.TextChoices):
        OPEN = "open"
        APPROVED = "approved"
        REJECTED = "rejected"
        WITHDRAWN = "withdrawn"
        LAPSED = "lapsed"
        SUPERSEDED = "superseded"

    MOVES: ClassVar[dict[str, frozenset[str]]] = {
        Status.OPEN: frozenset(
            {Status.APPROVED, Status.REJECTED, Status.WITHDRAWN, Status.LAPSED, Status.SUPERSEDED}
        )
    }
    currency_kind: ClassVar[str] = ""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="approval_requests")
    kind = models.CharField(max_length=30)  # which handler knows the subject
    subject_type = models.CharField(max_length=30)
    subject_id = models.CharField(max_length=100)
    subject_label = models.CharField(max_length=200)
    status = models.CharField(max_length=10, choices=Status, default=Status.OPEN)
    version = models.PositiveBigIntegerField(default=1)
    risk = models.PositiveSmallIntegerField(choices=[(risk.value, risk.label) for risk in Risk])
    needed = models.PositiveSmallIntegerField()  # approvals, by the policy under which it was opened
    diff = models.JSONField(encoder=DjangoJSONEncoder)
    diff_words = models.JSONField(default=list)
    diff_digest = models.CharField(max_length=64)  # SHA-256 of the canonical diff, hexadecimal
    reason = models.CharField(max_length=1000, blank=True)
    requested_by = models.ForeignKey(User, models.PROTECT, related_name="approval_requests")
    requested_by_token = models.CharField(
        max_length=16, blank=True
    )  # the id of the token that asked, if one did
    originators = models.ManyToManyField(User, related_name="+")  # who is behind it: none of them decides
    eligible = models.ManyToManyField(User, related_name="+")  # who has the deciding role since then
    opened_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    reminded_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)

    objects = ApprovalRequestQuerySet.as_manager()

    class Meta:
        ordering = ["-opened_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["subject_type", "subject_id"],
                condition=Q(status="open"),
                name="one_open_request_about_a_subject",
            ),
            models.CheckConstraint(condition=Q(needed__gte=1), name="a_request_needs_an_approval"),
            models.CheckConstraint(
                condition=Q(status="open", closed_at=None) | (~Q(status="open") & Q(closed_at__isnull=False)),
                name="a_closed_request_says_when",
            ),
        ]
        indexes = [
            models.Index(fields=["organization", "-opened_at"], name="request_by_organization"),
            models.Index(fields=["expires_at"], name="request_by_expiry", condition=Q(status="open")),
            models.Index(fields=["subject_type", "subject_id"], name="request_by_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.kind_in_words.capitalize()}: {self.subject_label}"

    @property
    def kind_in_words(self) -> str:
        return str(self.Kind(self.kind).label)

    @property
    def is_open(self) -> bool:
        return self.status == self.Status.OPEN

    @property
    def is_in_time(self) -> bool:
        return now() < self.expires_at

    @property
    def is_waiting(self) -> bool:
        """Open and in time: it can be decided."""
        return self.is_open and self.is_in_time

    @property
    def derived_status(self) -> str:
        """What is out of time has lapsed, recorded or not."""
        return self.Status.LAPSED if self.is_open and not self.is_in_time else self.Status(self.status)

    def move_to(self, status: str) -> None:
        """Close it, by compare-and-set; else IllegalMove or Conflict."""
        if status not in self.MOVES.get(self.status, ()):
            raise IllegalMove(f"A request that is {self.status} can't become {status}.")
        currency.claim(self, status=self.status)
        self.status, self.closed_at = status, now()
        self.save(update_fields=["status", "closed_at"])

    def audit_target(self) -> Target:
        """Its subject: what is decided about a token stands in that token's trail."""
        return Target(self.subject_type, self.subject_id, self.subject_label, self.organization_id)


class Decision(models.Model):
    """One person's vote on one diff. A vote on a diff that was changed since, or of who lost the role, is void."""

    class Verdict(models.TextChoices):
        APPROVE = "approve"
        REJECT = "reject"

    request = models.ForeignKey(ApprovalRequest, models.PROTECT, related_name="decisions")
    user = models.ForeignKey(User, models.PROTECT, related_name="decisions")
    verdict = models.CharField(max_length=10, choices=Verdict)
    comment = models.CharField(max_length=1000, blank=True)
    diff_digest = models.CharField(max_length=64)
    decided_at = models.DateTimeField()
    voided_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["request", "user"], condition=Q(voided_at=None), name="one_decision_a_person"
            )
        ]

    def __str__(self) -> str:
        return f"{self.user}: {self.verdict}"


Ids = frozenset[UUID]
Diff = dict[str, Any]
