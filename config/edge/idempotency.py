"""Idempotency-Key: a POST that creates or rotates happens once for a caller and key, however often it is sent.

The key is claimed in the transaction of the verb, so that it is remembered exactly when the change is. The answer is
kept beside it, without secrets: a replay of one that had a secret is a 409 that names what exists.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import timedelta

from rest_framework.request import Request
from rest_framework.response import Response

from config.edge.access import Access
from config.edge.clock import now
from config.edge.models import IdempotencyKey
from config.edge.refusals import Conflict, DomainError, Invalid, Unprocessable
from config.edge.scrubbing import SECRET

KEPT_FOR = timedelta(hours=24)
KEY = re.compile(r"[\x21-\x7e]{1,255}")


class Replayed(DomainError):
    """Raised inside the verb when another call with the same key has come first; the edge answers for it."""

    status = 409
    default_code = "idempotency_key_in_use"


@dataclass(frozen=True)
class Claim:
    """One key that the present request bears."""

    actor: str
    key: str
    fingerprint: str

    def take(self) -> IdempotencyKey:
        """Remember the key, in the caller's transaction; Replayed where it is remembered already."""
        IdempotencyKey.objects.filter(
            actor=self.actor, key=self.key, created_at__lte=now() - KEPT_FOR
        ).delete()
        row, is_new = IdempotencyKey.objects.get_or_create(
            actor=self.actor, key=self.key, defaults={"fingerprint": self.fingerprint, "created_at": now()}
        )
        if not is_new:
            raise Replayed("A request with this Idempotency-Key was made before.")
        return row

    def earlier(self) -> IdempotencyKey | None:
        """The use of this key that counts; Unprocessable where it was for another request."""
        row = IdempotencyKey.objects.filter(
            actor=self.actor, key=self.key, created_at__gt=now() - KEPT_FOR
        ).first()
        if row and row.fingerprint != self.fingerprint:
            raise Unprocessable("This Idempotency-Key was used for another request.")
        return row

    def answered(self, response: Response) -> None:
        """Keep the answer. Best effort: without it a replay says 409 and names the resource."""
        data = dict(response.data or {})
        had_secret = data.pop("secret", None) is not None
        IdempotencyKey.objects.filter(actor=self.actor, key=self.key).update(
            status=response.status_code,
            answer=json.loads(json.dumps(data, default=str)),
            had_secret=had_secret,
        )


def claim_of(request: Request, access: Access) -> Claim | None:
    """The claim that a request makes with its Idempotency-Key, if it has one."""
    key = request.META.get("HTTP_IDEMPOTENCY_KEY")
    if key is None:
        return None
    if not KEY.fullmatch(key) or SECRET.search(key):  # keys are kept as they are
        raise Invalid(
            "Idempotency-Key must be 1 to 255 printable ASCII characters, and no token's secret.",
            code="bad_idempotency_key",
        )
    body = json.dumps(request.data, sort_keys=True, separators=(",", ":"), default=str)
    text = f"{request.method} {request.get_full_path()}\n{body}"
    actor = f"{access.actor.type}:{access.actor.id}"
    return Claim(actor, key, hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest())


def replay(row: IdempotencyKey) -> Response:
    """The earlier answer again; a Conflict that names the resource where the answer can't be given twice."""
    if row.had_secret or row.answer is None:
        raise Conflict(
            "This was done before under the same Idempotency-Key; its secret is not shown again.",
            code="already_done",
            id=row.resource,
        )
    return Response(row.answer, status=row.status, headers={"Idempotent-Replayed": "true"})
