"""What a token may do and where: the scopes of its ceiling, its grants, the machines it was issued for."""

from django.db import models

from fleets.models import AccessRule, Machine
from tokens.models.token import Token


class TokenScope(models.Model):
    """One scope of a token's ceiling."""

    token = models.ForeignKey(Token, models.CASCADE, related_name="scope_rows")
    scope = models.CharField(max_length=63)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["token", "scope"], name="a_token_holds_a_scope_once")]
        indexes = [models.Index(fields=["scope"])]

    def __str__(self) -> str:
        return self.scope


class Grant(AccessRule):
    """Where a token may use its ceiling. Without a role the row gives the whole ceiling as it stands."""

    token = models.ForeignKey(Token, models.CASCADE, related_name="grants")
    number = models.PositiveIntegerField()  # within the token, in the order in which they were made
    role = models.CharField(max_length=63, blank=True)

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["token", "number"], name="one_grant_of_a_number"),
            models.UniqueConstraint(fields=["token", "path"], name="one_grant_at_a_path"),
        ]
        indexes = [models.Index(fields=["path"])]

    def __str__(self) -> str:
        return f"{self.role or 'all its scopes'} on {self.path}"


class TokenMachine(models.Model):
    """A machine that a token was issued for, as it was called then."""

    token = models.ForeignKey(Token, models.CASCADE, related_name="machine_rows")
    machine = models.ForeignKey(Machine, models.PROTECT, related_name="token_rows")
    name = models.CharField(max_length=63)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["token", "machine"], name="a_token_names_a_machine_once")
        ]

    def __str__(self) -> str:
        return self.name
