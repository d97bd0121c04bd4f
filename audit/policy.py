"""Who reads the trail, and who may do what to deliveries. Each predicate is one rule in words; verbs enforce them,
edges ask what to show."""

from uuid import UUID

from config.edge.access import Access

READ, MANAGE, EVERYWHERE = "audit:read", "permissions:manage", "/"


def may_read_trail(by: Access, organization_id: UUID) -> bool:
    """Who holds audit:read at the root of the organization."""
    return by.permits(READ, EVERYWHERE, organization_id)


def may_manage_webhooks(by: Access, organization_id: UUID) -> bool:
    """Who manages the organization's permissions at the root, in their own browser session: never a token, which
    could have every event sent to itself and outlive its own end."""
    in_person = by.is_operator or by.is_browser_session
    return in_person and by.permits(MANAGE, EVERYWHERE, organization_id)


def may_manage_mail(by: Access) -> bool:
    """A superuser in their browser session, or the operator: mail is the installation's, not an organization's."""
    return by.is_operator or (by.is_browser_session and by.user.is_superuser)
