"""The audit trail and webhooks in the admin. Importing the package registers their pages."""

from audit.admin import webhooks
from audit.admin.events import OfferedFilter as OfferedFilter

__all__ = ["OfferedFilter", "webhooks"]
