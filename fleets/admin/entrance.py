"""Who may enter the admin: people of an organization, and superusers, who open the first one."""

from typing import Any, cast

from django.contrib import admin
from django.contrib.admin.forms import AdminAuthenticationForm, AdminPasswordChangeForm
from django.contrib.auth.base_user import AbstractBaseUser

from config.edge.access import Access
from config.edge.admin_site import Site
from config.edge.remembering import seen_ids
from fleets import passwords, policy, sign_in
from fleets.access import PersonAccess, themselves
from fleets.models import User


def may_enter(by: Access) -> bool:
    """Who is an active member of an organization, or may open one."""
    return policy.may_open_organization(by) or bool(seen_ids(by))


class SignInForm(AdminAuthenticationForm):
    error_messages = {
        "invalid_login": "That username and password do not match, or the account belongs to no organization.",
        "inactive": "This account is not active.",
    }

    def confirm_login_allowed(self, user: AbstractBaseUser) -> None:
        super().confirm_login_allowed(user)  # type: ignore[arg-type]
        if not may_enter(PersonAccess(cast(User, user))):
            sign_in.refused_without_organization(cast(User, user))
            raise self.get_invalid_login_error()


class OwnPasswordForm(AdminPasswordChangeForm):
    def __init__(self, *args: Any, by: PersonAccess, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.by = by

    def save(self, commit: bool = True) -> User:
        user = themselves(self.user)
        passwords.change(user, password=self.cleaned_data["new_password1"], by=self.by)
        return user


site = cast(Site, admin.site)
site.admits = may_enter
site.login_form = SignInForm
site.password_form = OwnPasswordForm
