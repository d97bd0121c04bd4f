"""Whose webhooks a person sees."""

from typing import Any

from audit import organizations
from audit.organizations import Named
from audit.policy import may_manage_webhooks
from config.edge.access import Access
from config.edge.remembering import remembered, seen_ids


def manageable(by: Access) -> list[Named]:
    """The organizations whose webhooks the caller manages."""
    return remembered(by, "organizations with webhooks", lambda: _manageable(by))


def _manageable(by: Access) -> list[Named]:
    ids = [key for key in seen_ids(by) if may_manage_webhooks(by, key)]
    return organizations.registered().of_ids(ids) if ids else []


def slug_of(by: Access, organization_id: Any) -> str:
    return next((named.slug for named in manageable(by) if named.id == organization_id), "")
