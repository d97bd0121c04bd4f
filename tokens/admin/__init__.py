"""The tokens' pages in the admin. Importing the package registers them."""

from tokens.admin import home, pages, policy

__all__ = ["home", "pages", "policy"]
