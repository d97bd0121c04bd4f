"""`manage.py user`: lets a person in from the server's own command line, as the operator."""

from typing import Any

from django.core.management.base import CommandParser

from config.edge.operator_command import OneLineParser, OperatorCommand, add_format
from config.edge.refusals import Invalid
from fleets import invitations, membership
from fleets.api.serializers import MemberInvitation, MemberSerializer
from fleets.management import named
from fleets.management.operator import as_operator
from fleets.models import Invitation, Membership, Organization, User

Options = dict[str, Any]


class Command(OperatorCommand):
    help = "Let people in as the operator of this host."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, parser_class=OneLineParser)
        what = (
            "make a person a member, and print the link with which they choose their password, once; "
            "for who never came in, a new link"
        )
        invite = verbs.add_parser("invite", help=what, description=what)
        invite.add_argument("username", metavar="USERNAME")
        invite.add_argument("--organization", metavar="SLUG", required=True)
        invite.add_argument("--role", choices=Membership.Role.values, help="member where none is given")
        invite.add_argument("--name", default="")
        invite.add_argument("--email", default="", help="where the invitation is sent too")
        add_format(invite)

    def act(self, **options: Any) -> None:
        self._invite(options)

    def _invite(self, options: Options) -> None:
        names = ("username", "name", "email")
        role = options["role"] or Membership.Role.MEMBER
        said = MemberInvitation(data={"role": role} | {name: options[name] for name in names})
        said.is_valid(raise_exception=True)
        organization = named.organization(options["organization"])
        member = _member(organization, said.validated_data["username"])
        if member is None:
            member = membership.invite(organization, **said.validated_data, by=as_operator())
            invitation = _first_invitation(member)
        elif options["role"] in {None, member.role}:
            invitation = invitations.renew_for_operator(member, by=as_operator())
        else:
            raise Invalid.field("role", f"This person is a member already, as {member.role}.")
        self._show(member, invitation, options)

    def _show(self, member: Membership, invitation: Invitation | None, options: Options) -> None:
        """The only output with a link."""
        shown = dict(MemberSerializer(member).data)
        if invitation:
            shown |= {"link": invitations.link_to(invitation), "expires_at": invitation.expires_at}
        width = max(map(len, shown))
        lines = [f"{name:{width}}  {'-' if value is None else value}" for name, value in shown.items()]
        self.answer(shown, lines, options)
        self.say_how()
        if invitation is None:
            self.say("They have an account already and sign in as they always do.")
        else:
            self.say(
                "Whoever has the link sets the password, once. It is shown this once: hand it over safely."
            )


def _first_invitation(member: Membership) -> Invitation | None:
    """That which is sent by mail too; without an address one for this link alone; none for who can sign in."""
    if member.user.has_usable_password():
        return None
    return invitations.waiting_of(member) or invitations.renew_for_operator(member, by=as_operator())


def _member(organization: Organization, username: str) -> Membership | None:
    person = User.objects.present_in(organization.pk).named(username).first()
    if person is None:
        return None
    rows = Membership.objects.present().select_related("user", "organization")
    return rows.get(user=person, organization=organization)
