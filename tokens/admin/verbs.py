"""The verbs of tokens as the pages offer them: who sees the button, when it fits, what it says will happen."""

from config.edge.access import Access
from config.edge.commands import ReasonForm, RowVerb
from config.edge.remembering import remembered
from tokens import lifecycle, policy
from tokens.admin.edit_form import EditForm
from tokens.admin.forms import RevokeForm, RotateForm
from tokens.decision import DerivedStatus
from tokens.models import Token


def manages(by: Access, token: Token) -> bool:
    """`policy.may_manage` for what a page shows: asked once for each owner."""
    key = ("manages", token.owner, token.organization_id)
    return remembered(by, key, lambda: policy.may_manage(by, token))


def may_issue_again(by: Access, token: Token) -> bool:
    """A new secret is for who could issue this same token."""
    key = ("issues for", token.owner, token.organization_id)
    return remembered(by, key, lambda: policy.may_issue_for(by, token.owner, token.organization))


def is_living(token: Token) -> bool:
    return not token.is_ended


EDIT = RowVerb(
    "edit",
    "Edit",
    manages,
    lambda row, data, by: lifecycle.edit(row, change=data["change"], reason=data["reason"], by=by),
    lambda _: (
        "Narrowing holds at once. Letting it do more needs the right to issue it, and perhaps a reason and an approval."
    ),
    "The token is changed.",
    fits=is_living,
    form=EditForm,
    template="tokens/form.html",
)
ROTATE = RowVerb(
    "rotate",
    "Rotate secret",
    may_issue_again,
    lambda row, data, by: lifecycle.rotate(row, overlap=data["overlap"], by=by),
    lambda row: (
        f"Gives {row.name} a new secret, which the next page shows once. Id, settings and expiry stay."
    ),
    "",
    fits=lambda row: row.derived_status in {DerivedStatus.ACTIVE, DerivedStatus.DISABLED},
    form=RotateForm,
)  # its answer is the page with the secret
DISABLE = RowVerb(
    "disable",
    "Disable",
    manages,
    lambda row, data, by: lifecycle.disable(row, reason=data["reason"], by=by),
    lambda row: (
        f"Every call with {row.name} is refused from now on, with each of its secrets, until it is enabled."
    ),
    "The token is disabled: it is refused from now on.",
    fits=lambda row: row.status == Token.Status.ACTIVE,
    form=ReasonForm,
    is_bound=False,
)
ENABLE = RowVerb(
    "enable",
    "Enable",
    lambda by, row: manages(by, row) and policy.may_undo_disabling(by, row),
    lambda row, data, by: lifecycle.enable(row, reason=data["reason"], by=by),
    lambda row: f"{row.name} works again at once, with the secrets it had.",
    "The token is enabled.",
    fits=lambda row: row.status == Token.Status.DISABLED,
    form=ReasonForm,
)
REVOKE = RowVerb(
    "revoke",
    "Revoke",
    manages,
    lambda row, data, by: lifecycle.revoke(row, reason=data["reason"], by=by),
    lambda row: (
        f"Ends {row.name} for ever: its secrets stop working at once, and nothing brings it back. "
        "Its name is not used again. To stop it only for a while, disable it."
    ),
    "The token is revoked.",
    fits=is_living,
    form=RevokeForm,
    is_grave=True,
    is_bound=False,
)
