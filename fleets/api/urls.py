"""The estate's resources under /api/v1/."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from fleets.api.catalogue import Roles, Scopes
from fleets.api.inventory import Images, Networks, Templates
from fleets.api.invitations import Invitations
from fleets.api.machines import MachineActions, Machines
from fleets.api.organizations import Members, Organizations
from fleets.api.owners import ApplicationMembers, Applications, FleetMembers, Fleets, GroupMembers, Groups
from fleets.api.reauthentication import ReauthenticateView
from fleets.api.rules import Entries
from fleets.api.technical_users import TechnicalUsers

router = SimpleRouter()
router.register("organizations", Organizations, "organization")
router.register("members", Members, "member")
router.register("invitations", Invitations, "invitation")
router.register("groups", Groups, "group")
router.register(r"groups/(?P<group_id>[^/]+)/members", GroupMembers, "group-member")
router.register("fleets", Fleets, "fleet")
router.register(r"fleets/(?P<fleet_id>[^/]+)/members", FleetMembers, "fleet-member")
router.register("applications", Applications, "application")
router.register(r"applications/(?P<application_id>[^/]+)/members", ApplicationMembers, "application-member")
router.register("technical-users", TechnicalUsers, "technical-user")
router.register("machines", Machines, "machine")
router.register(r"machines/(?P<machine_id>[^/]+)/actions", MachineActions, "machine-action")
router.register("templates", Templates, "template")
router.register("networks", Networks, "network")
router.register("images", Images, "image")
router.register("scopes", Scopes, "scope")
router.register("roles", Roles, "role")
router.register("acl", Entries, "entry")

urlpatterns = [
    *router.urls,
    path("reauthenticate/", ReauthenticateView.as_view(), name="reauthenticate"),
]
