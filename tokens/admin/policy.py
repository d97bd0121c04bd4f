"""The page of an organization's policy: all parts, then what they would do to its tokens, then saved."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from config.edge.commands import CommandForm, RowVerb, attempt
from config.edge.facts import Cell, linked
from config.edge.form_fields import reason_field
from config.edge.remembering import forget
from config.edge.scoped_admin import Asked
from fleets import organizations
from fleets import policy as estate_policy
from fleets.admin.organizations import OrganizationAdmin
from fleets.models import Organization
from fleets.organization_policy import (
    DECIDERS,
    KINDS,
    LONGEST_LIFETIME,
    LONGEST_REQUEST,
    MOST_APPROVALS,
    ROLES,
    policy_of,
)
from fleets.policy_words import LABELS, change_in_words
from fleets.scopes import Risk, Scope
from tokens.admin import words
from tokens.preview import Preview, preview

RISKS = [risk.label for risk in Risk]
RAISABLE = [scope for scope in Scope if scope.built_in_risk < Risk.HIGH]
NO_LIMIT = "With all of them chosen there is no limit."
NEVER_LESS = (
    "Never less than they are built in. What is riskier holds at once for the tokens that there are, too."
)
WAITS = "It waits for approval: until then the present policy holds."


def _days(label: str, help_text: str, *, required: bool = False) -> forms.IntegerField:
    return forms.IntegerField(
        label=label, min_value=1, max_value=LONGEST_LIFETIME, required=required, help_text=help_text
    )


def _risk(scope: Scope) -> forms.ChoiceField:
    more = [(risk.label, risk.label) for risk in Risk if risk > scope.built_in_risk]
    built_in = ("", f"{scope.built_in_risk.label}, as built in")
    return forms.ChoiceField(
        label=str(scope), choices=[built_in, *more], required=False, help_text=scope.description
    )


def _some_of(label: str, choices: Iterable[str], help_text: str = "") -> forms.MultipleChoiceField:
    return forms.MultipleChoiceField(
        label=label,
        choices=[(str(choice), str(choice).replace("_", " ")) for choice in choices],
        widget=forms.CheckboxSelectMultiple,
        required=False,
        help_text=help_text,
    )


@dataclass(frozen=True)
class Part:
    """Some fields of the page under one heading. `folds`: "each" of them away, or all of them in "one"."""

    heading: str
    fields: list[Any]
    folds: str = ""
    note: str = ""

    @property
    def has_errors(self) -> bool:
        return any(field.errors for field in self.fields)


class PolicyForm(CommandForm):
    """Every part. Of kinds and scopes, all of them are no limit."""

    default_lifetime_days = _days(
        LABELS["default_lifetime_days"], "Days. Never more than the longest.", required=True
    )
    maximum_lifetime_days = _days(
        LABELS["maximum_lifetime_days"],
        "Days from the approval, for tokens that exist too. Empty: no limit.",
    )
    never_allowed = forms.BooleanField(
        label="Tokens may be without an end",
        required=False,
        help_text="Where they may not, those that exist are refused until they get one.",
    )
    unused_limit_days = _days("Disable tokens that were not used for", "Days. Empty: never.")
    networks_required = _some_of(
        "Allowed networks are needed for",
        RISKS,
        "Risks. A token of such a risk without named networks is refused at every call.",
    )
    deciders = _some_of("Who decides", DECIDERS, "Never on what they asked for themselves.")
    request_hours = forms.IntegerField(
        label="Hours that a request stays open", min_value=1, max_value=LONGEST_REQUEST
    )
    narrowing_allowed = forms.BooleanField(
        label="Less than what was asked for can be approved", required=False
    )
    self_approval = forms.BooleanField(
        label="People may approve their own requests",
        required=False,
        help_text="Then one person alone can give themselves anything.",
    )
    reason = reason_field("Kept in the audit trail; who has to approve it reads it too.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.before = policy_of(self.row).as_json()
        choices = [(str(number), str(number)) for number in range(MOST_APPROVALS + 1)]
        for risk in RISKS:
            self.fields[f"approvals_{risk}"] = forms.ChoiceField(
                label=f"Approvals for {risk} risk", choices=choices
            )
        for scope in RAISABLE:
            self.fields[f"risk_{scope}"] = _risk(scope)
        for role in ROLES:
            self.fields[f"kinds_{role}"] = _some_of(f"Kinds that {role}s may issue, and have", KINDS)
            self.fields[f"scopes_{role}"] = _some_of(f"Scopes of {role}s’ personal tokens", Scope)
        self.initial = self._shown()

    def changes(self) -> dict[str, Any]:
        """What was filled in differently from what the form showed first, as the API would say it."""
        shown, filled, before = self._shown(), self.cleaned_data, self.before
        found: dict[str, Any] = {
            name: filled[name] for name in before if name in filled and _differs(filled[name], shown[name])
        }
        if "networks_required" in found:
            found["networks_required"] = {risk: risk in filled["networks_required"] for risk in RISKS}
        needed = {risk: int(filled[f"approvals_{risk}"]) for risk in RISKS}
        if needed != before["approvals_needed"]:
            found["approvals_needed"] = needed
        for part, field, everything in (
            ("allowed_kinds", "kinds", KINDS),
            ("scope_ceilings", "scopes", Scope),
        ):
            limits = {
                role: None if len(filled[f"{field}_{role}"]) == len(everything) else filled[f"{field}_{role}"]
                for role in ROLES
                if _differs(filled[f"{field}_{role}"], shown[f"{field}_{role}"])
            }
            if limits:
                found[part] = limits
        risks = {scope: filled[f"risk_{scope}"] for scope in RAISABLE}
        if other := {scope: risk or None for scope, risk in risks.items() if risk != shown[f"risk_{scope}"]}:
            found["scope_risks"] = other
        return found

    def command(self) -> dict[str, Any]:
        """What the verb takes."""
        return {"changes": self.changes(), "reason": self.cleaned_data["reason"]}

    def parts(self) -> list[Part]:
        """As the page groups them."""
        lifetimes = ("default_lifetime_days", "maximum_lifetime_days", "never_allowed", "unused_limit_days")
        approvals = (
            *(f"approvals_{risk}" for risk in RISKS),
            *("deciders", "request_hours", "narrowing_allowed", "self_approval"),
        )
        risks = [f"risk_{scope}" for scope in RAISABLE]
        kinds, scopes = [f"kinds_{role}" for role in ROLES], [f"scopes_{role}" for role in ROLES]
        return [
            self._part("How long tokens live", lifetimes),
            self._part("From where they work", ("networks_required",)),
            self._part("What has to be approved", approvals),
            self._part("How risky scopes are", risks, "one", NEVER_LESS),
            self._part("Which kinds, by organization role", kinds, "each", NO_LIMIT),
            self._part("Scopes of personal tokens, by organization role", scopes, "each", NO_LIMIT),
        ]

    def _part(self, heading: str, names: Iterable[str], folds: str = "", note: str = "") -> Part:
        return Part(heading, [self[name] for name in names], folds, note)

    def _shown(self) -> dict[str, Any]:
        before = self.before
        shown = dict(before)
        shown["networks_required"] = [risk for risk in RISKS if before["networks_required"][risk]]
        for risk in RISKS:
            shown[f"approvals_{risk}"] = str(before["approvals_needed"][risk])
        for scope in RAISABLE:
            shown[f"risk_{scope}"] = before["scope_risks"][scope] or ""
        for role in ROLES:
            kinds, scopes = before["allowed_kinds"][role], before["scope_ceilings"][role]
            shown[f"kinds_{role}"] = list(KINDS) if kinds is None else kinds
            shown[f"scopes_{role}"] = [str(scope) for scope in Scope] if scopes is None else scopes
        return shown

    def _place(self, name: str, text: str) -> None:
        part, _, key = name.removeprefix("policy.").partition(".")
        prefix = {
            "approvals_needed": "approvals",
            "allowed_kinds": "kinds",
            "scope_ceilings": "scopes",
            "scope_risks": "risk",
        }
        super()._place(f"{prefix[part]}_{key}" if part in prefix and key else part, text)


POLICY = RowVerb(
    "policy",
    "Policy",
    estate_policy.may_set_policy,
    lambda row, data, by: organizations.set_policy(row, **data, by=by),
    lambda row: (
        f"What {row.name} lays down for its tokens. Before anything is saved, the next page says what it would do to "
        "them. What gets stricter holds at once; what gets weaker waits where the present policy wants approvals."
    ),
    "The policy is changed.",
    form=PolicyForm,
    button="Preview",
    template="tokens/policy.html",
    needs_fresh_check=True,
)

admin.site.unregister(Organization)


@admin.register(Organization)
class GovernedOrganizationAdmin(OrganizationAdmin):
    """The organizations' pages, and their policy, which is about tokens."""

    verbs = (*OrganizationAdmin.verbs, POLICY)

    def sent(self, request: HttpRequest, asked: Asked) -> HttpResponse:
        """Of the policy the first POST previews; the one that the preview sends saves."""
        if asked.verb is not POLICY:
            return super().sent(request, asked)
        row, by, form = asked.row, asked.by, asked.form
        assert isinstance(form, PolicyForm)
        if "save" in request.POST:
            went = attempt(form, lambda: POLICY.call(row, form.command(), by))
            forget(by)
            if went.is_done:
                return self._saved(request, row, waits=went.result is not None)
        else:
            went = attempt(form, lambda: preview(row, form.changes(), by=by))
            if went.is_done and went.result.changes:
                return self._previewed(request, row, form, went.result, asked.frame)
            if went.is_done:
                form.add_error(None, "This is the policy already.")
        return self.verb_page(request, asked, went.status)

    def _previewed(
        self, request: HttpRequest, row: Organization, form: PolicyForm, seen: Preview, frame: dict[str, Any]
    ) -> HttpResponse:
        return self.page(
            request,
            "tokens/policy_preview.html",
            frame=frame,
            title=f"What this policy would do: {row}",
            row=row,
            sent=_sent(request),
            changes=[change_in_words(name, *pair) for name, pair in seen.changes.items()],
            seen=seen,
            tokens=[(linked(token), words.owner_of(token), _why(why)) for token, why in seen.tokens],
            button="Ask for approval" if seen.needs_approval else "Save",
            back=self.address(POLICY.name, row),
        )

    def _saved(self, request: HttpRequest, row: Organization, *, waits: bool) -> HttpResponse:
        if waits:
            messages.warning(request, WAITS)
        else:
            self.tell(request, POLICY.done)
        return redirect(self.address("change", row))


def _sent(request: HttpRequest) -> list[tuple[str, str]]:
    """What was filled in, and of which version, to be sent again by the page that asks."""
    left_out = {"csrfmiddlewaretoken", "save"}
    return [
        (name, value) for name, values in request.POST.lists() if name not in left_out for value in values
    ]


def _why(codes: list[str]) -> Cell:
    return Cell(", ".join(words.PREVIEWED[code] for code in codes))


def _differs(filled: Any, shown: Any) -> bool:
    return set(filled) != set(shown) if isinstance(filled, list) else filled != shown
