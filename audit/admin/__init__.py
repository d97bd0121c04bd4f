"""The audit trail and webhooks in the admin. Importing the package registers their pages."""

from audit.admin import webhooks
from audit.admin.events import OfferedFilter as OfferedFilter
from audit.admin.events import may_read as may_read

__all__ = ["OfferedFilter", "may_read", "webhooks"]
