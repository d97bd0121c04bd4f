"""Forms that act once: a hidden key, claimed in the verb's transaction like an Idempotency-Key.

Sent again (reload, Back, a second click) such a form makes nothing; it leads to what the first sending made.
"""

import hashlib
from uuid import uuid4

from django import forms
from django.http import HttpRequest

from config.edge import context
from config.edge.access import Access
from config.edge.form_fields import Line
from config.edge.idempotency import Claim
from config.edge.ids import parsed_uuid
from config.edge.refusals import Invalid

FIELD = "once"


def fresh_key() -> str:
    return str(uuid4())


def key_field() -> Line:
    """The hidden field; a fresh key in each new form, the same one while a form is corrected."""
    return Line(initial=fresh_key, widget=forms.HiddenInput, max_length=36)


def claimed(request: HttpRequest, by: Access) -> Claim:
    """Make the form's key the claim of the verb that follows. Its fingerprint is the address alone."""
    claim = _claim(request, by)
    if claim is None:
        raise Invalid("The form is incomplete. Load the page again.")
    context.current().idempotency = claim
    return claim


def was_sent(request: HttpRequest, by: Access) -> bool:
    """Whether this form was sent before, and did what it asks for."""
    claim = _claim(request, by)
    return claim is not None and claim.earlier() is not None


def _claim(request: HttpRequest, by: Access) -> Claim | None:
    key = parsed_uuid(request.POST.get(FIELD, ""))
    if key is None:
        return None
    text = f"{request.method} {request.path}"
    return Claim(f"{by.actor.type}:{by.actor.id}", f"form:{key}", hashlib.sha256(text.encode()).hexdigest())
