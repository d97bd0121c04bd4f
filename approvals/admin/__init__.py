"""The pages of requests for approval. Importing the package registers them."""

from approvals.admin import inbox

__all__ = ["inbox"]
