"""The tokens' pages in the admin. Importing the package registers them."""

from tokens.admin import pages

__all__ = ["pages"]
