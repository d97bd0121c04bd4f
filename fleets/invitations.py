"""Invitations: how a new person chooses their password. Sent by mail as a link that is good once, for 72 hours.

The link is the invitation's id and version, signed when it is sent; it is stored nowhere. Whatever happens to the
invitation raises its version, and so ends every link made before.
"""

from datetime import timedelta
from typing import Any

from django.core import signing

from audit.actions import Action
from audit.trail import record
from audit.verbs import verb
from config.edge.access import Access
from config.edge.clock import now
from config.edge.refusals import Conflict, IllegalMove, Missing, require
from config.edge.scrubbing import LINK
from fleets import currency, mail, passwords, policy
from fleets.models import Invitation, Membership, User

LIFETIME = timedelta(hours=72)
NOT_YOURS = "You may not handle this invitation."
NO_ADDRESS = "No mail address is known. The operator of this installation can make a link."

_signer = signing.TimestampSigner(salt="fleets.invitations")


def welcome(membership: Membership, *, by: Access) -> None:
    """Tell a new member by mail: how to come in where they never were, else that they belong here now.

    Without an address nothing is sent; the operator's command line can make a link. For the verb that lets them join.
    """
    user = membership.user
    if not user.email:
        return
    if user.has_usable_password():
        mail.owe("joined", membership=str(membership.pk))
    else:
        _open(membership, by)


def readdress(user: User, email: str) -> None:
    """Put a mistyped address right: of somebody who never had a password and belongs nowhere."""
    is_new = not user.has_usable_password() and not user.is_superuser
    if email and is_new and not user.memberships.present().exists():
        user.email = email
        user.full_clean(exclude=["password"], validate_constraints=False, validate_unique=False)
        user.save(update_fields=["email"])


@verb(Action.INVITATION_RENEWED)
def resend(invitation: Invitation, *, by: Access) -> None:
    """Send a new link, good for another 72 hours; the one before no longer works."""
    require(policy.may_handle_invitation(by, invitation), NOT_YOURS)
    if not invitation.user.email:
        raise Conflict(NO_ADDRESS, code="no_address")
    _renew(invitation, by)


@verb(Action.INVITATION_WITHDRAWN)
def withdraw(invitation: Invitation, *, by: Access) -> None:
    """End an invitation: its link no longer works. Its person stays a member, without a way in."""
    require(policy.may_handle_invitation(by, invitation), NOT_YOURS)
    _withdraw(invitation, by)


@verb(Action.INVITATION_ACCEPTED)
def accept(invitation: Invitation, *, password: str, by: Access) -> None:
    """Choose the first password, once. The other invitations of the same person are used up with it."""
    user = invitation.user
    require(by.is_browser_session and by.user == user, "Only your own invitation.")
    if invitation.expires_at <= now() or not user.is_live():
        raise IllegalMove("This invitation has lapsed.")
    if user.has_usable_password():
        raise IllegalMove("This account has a password already.")
    passwords.store(user, password)
    waiting = user.invitations.waiting().select_related("user").order_by("pk")
    for each in [invitation, *waiting.exclude(pk=invitation.pk)]:
        _claim(each)
        each.accepted_at = now()
        each.save(update_fields=["accepted_at"])
        record(Action.INVITATION_ACCEPTED, by=by, target=each)


@verb(Action.INVITATION_RENEWED)
def renew_for_operator(membership: Membership, *, by: Access) -> Invitation:
    """For whoever hands the link over by themselves: the member's invitation, opened or renewed."""
    require(by.is_operator, "Only the operator of this installation.")
    if membership.left_at or membership.user.has_usable_password():
        raise Conflict("This person can sign in already.", code="already_member")
    invitation = waiting_of(membership)
    if invitation is None:
        return _open(membership, by)
    _renew(invitation, by)
    return invitation


def end_of(membership: Membership, by: Access) -> None:
    """Who leaves loses their invitation, whatever happens to it at the same time. For the verb that ends the
    membership, which has locked the person by then."""
    invitation = waiting_of(membership)
    if invitation is not None:
        _withdraw(currency.lock(invitation), by)


def waiting_of(membership: Membership) -> Invitation | None:
    """The member's invitation that was neither accepted nor withdrawn; it may have lapsed."""
    here = membership.user.invitations.filter(organization=membership.organization_id)
    found: Invitation | None = here.waiting().select_related("user", "organization").first()
    return found


# Links


def link_to(invitation: Invitation) -> str:
    """The address that accepts the invitation as it stands. It is a secret: show it once, keep it nowhere."""
    return mail.link("admin:invitation", LINK + _signer.sign(f"{invitation.pk}.{invitation.version}"))


def of_link(token: str) -> Invitation:
    """The open invitation that a link leads to; Missing alike for every link that leads to none."""
    try:
        text = _signer.unsign(token.removeprefix(LINK), max_age=LIFETIME)
    except signing.BadSignature:
        raise Missing("This link does not work.") from None
    key, _, version = text.partition(".")
    found = _open_one(key, int(version))
    if found is None or not found.user.is_live() or found.user.has_usable_password():
        raise Missing("This link does not work.")
    return found


def _open_one(key: str, version: int) -> Invitation | None:
    here = Invitation.objects.open().filter(pk=key, version=version)
    return here.select_related("user", "organization").first()


@mail.writer("invitation")
def _invitation(payload: dict[str, Any]) -> mail.Letter | None:
    invitation = _open_one(payload["invitation"], payload["version"])
    if invitation is None:
        return None
    values = {
        "name": str(invitation.user),
        "username": invitation.user.username,
        "organization": invitation.organization.name,
        "link": link_to(invitation),
        "until": invitation.expires_at,
    }
    return mail.Letter(invitation.user.email, values)


@mail.writer("joined")
def _joined(payload: dict[str, Any]) -> mail.Letter | None:
    membership = (
        Membership.objects.present()
        .filter(pk=payload["membership"])
        .select_related("user", "organization")
        .first()
    )
    if membership is None:
        return None
    values = {
        "name": str(membership.user),
        "username": membership.user.username,
        "organization": membership.organization.name,
        "role": membership.role,
        "link": mail.link("admin:index"),
    }
    return mail.Letter(membership.user.email, values)


# What the verbs share


def _open(membership: Membership, by: Access) -> Invitation:
    invitation = Invitation(
        organization=membership.organization, user=membership.user, expires_at=now() + LIFETIME
    )
    invitation.save(force_insert=True)
    _send(invitation)
    record(Action.INVITATION_OPENED, by=by, target=invitation)
    return invitation


def _renew(invitation: Invitation, by: Access) -> None:
    _claim(invitation)
    invitation.expires_at = now() + LIFETIME
    invitation.save(update_fields=["expires_at"])
    _send(invitation)
    record(Action.INVITATION_RENEWED, by=by, target=invitation)


def _withdraw(invitation: Invitation, by: Access) -> None:
    _claim(invitation)
    invitation.withdrawn_at = now()
    invitation.save(update_fields=["withdrawn_at"])
    record(Action.INVITATION_WITHDRAWN, by=by, target=invitation)


def _claim(invitation: Invitation) -> None:
    if invitation.accepted_at or invitation.withdrawn_at:
        raise IllegalMove("This invitation was accepted or withdrawn.")
    currency.claim(invitation, accepted_at=None, withdrawn_at=None)


def _send(invitation: Invitation) -> None:
    if invitation.user.email:
        mail.owe("invitation", invitation=str(invitation.pk), version=invitation.version)
