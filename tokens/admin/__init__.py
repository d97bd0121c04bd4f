"""The tokens' pages in the admin. Importing the package registers them."""

from tokens.admin import pages, policy

__all__ = ["pages", "policy"]
