"""Every action that the audit trail knows: `subject.past_participle`, one word for the same thing in every app."""

from django.db import models


class Action(models.TextChoices):
    SESSION_STARTED = "session.started"
    SESSION_ENDED = "session.ended"
    SESSION_REFUSED = "session.refused"
    ACCESS_DENIED = "access.denied"
    DEMO_FILLED = "demo.filled"

    ORGANIZATION_OPENED = "organization.opened"
    ORGANIZATION_CHANGED = "organization.changed"
    POLICY_CHANGED = "policy.changed"
    MEMBER_INVITED = "member.invited"
    MEMBER_JOINED = "member.joined"
    MEMBER_LEFT = "member.left"
    MEMBER_SUSPENDED = "member.suspended"
    MEMBER_RESUMED = "member.resumed"
    MEMBER_ROLE_CHANGED = "member.role_changed"
    FLEET_OPENED = "fleet.opened"
    FLEET_CHANGED = "fleet.changed"
    FLEET_MEMBER_JOINED = "fleet_member.joined"
    FLEET_MEMBER_LEFT = "fleet_member.left"
    FLEET_MEMBER_ROLE_CHANGED = "fleet_member.role_changed"
    GROUP_OPENED = "group.opened"
    GROUP_CHANGED = "group.changed"
    GROUP_MEMBER_JOINED = "group_member.joined"
    GROUP_MEMBER_LEFT = "group_member.left"
    GROUP_MEMBER_ROLE_CHANGED = "group_member.role_changed"
    ENTRY_SET = "entry.set"
    ENTRY_REMOVED = "entry.removed"
    MACHINE_REGISTERED = "machine.registered"
    MACHINE_RETAGGED = "machine.retagged"
    MACHINE_MOVED = "machine.moved"
    MACHINE_DEREGISTERED = "machine.deregistered"
    MACHINE_CONFIGURED = "machine.configured"
    MACHINE_ACTION_REQUESTED = "machine_action.requested"

    TOKEN_ISSUED = "token.issued"
    TOKEN_EDITED = "token.edited"
    TOKEN_USED = "token.used"
    TOKEN_DENIED = "token.denied"
    TOKEN_ROTATED = "token.rotated"
    TOKEN_DISABLED = "token.disabled"
    TOKEN_ENABLED = "token.enabled"
    TOKEN_REVOKED = "token.revoked"


class Outcome(models.TextChoices):
    ALLOWED = "allowed"
    DENIED = "denied"
    FAILED = "failed"
