"""Attacks A1–A30 of the catalogue: what a header can hold, in every header form, at every door."""

import base64
import hashlib
import hmac
import itertools
import re
import string
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.sessions.models import Session
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from approvals import requests
from audit.models import Event
from config.edge.clock import now
from fleets import membership, organizations
from fleets.models import User
from fleets.scopes import parse_scopes
from tests import factories
from tests.attacks.doors import (
    CARRIERS,
    DOORS,
    Shown,
    assert_problem,
    bearer,
    client,
    knock,
    shown,
    without_id,
)
from tests.attacks.estate import Estate, as_stored
from tests.attacks.tables import Attempt
from tokens import issuance, lifecycle, secret
from tokens.models import TokenSecret

pytestmark = pytest.mark.django_db
every_door = pytest.mark.parametrize("door", DOORS)
every_carrier = pytest.mark.parametrize("carrier", CARRIERS)


@pytest.fixture
def ours(estate: Estate) -> Shown:
    return shown(estate.ours.token)


def repaired(text: str) -> str:
    """The text with a checksum that fits."""
    body = text[: -secret.CHECKSUM_LENGTH]
    return body + secret.checksum(body)


def flipped(text: str, place: int) -> str:
    """The text with one character replaced by its neighbour in the alphabet."""
    alphabet = secret.ALPHABET
    at = alphabet.find(text[place])
    return text[:place] + alphabet[(at + 1) % len(alphabet)] + text[place + 1 :]


# The positive twin of everything below


@every_door
@every_carrier
def test_the_right_secret_opens_every_door_in_every_form(door: str, carrier: str, ours: Shown) -> None:
    response = knock(door, CARRIERS[carrier](ours.text, ours))

    assert response.status_code == DOORS[door].opened, response.content


@every_door
@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "bEaReR"])
def test_the_scheme_is_read_without_case(door: str, scheme: str, ours: Shown) -> None:  # A4
    response = knock(door, {"Authorization": f"{scheme} {ours.text}"})

    assert response.status_code == DOORS[door].opened


# Malformed: refused without touching a store

MALFORMED: dict[str, Callable[[str], str]] = {
    "A1 empty": lambda text: text[:0],
    "A1 blank": lambda text: text[:0] + " ",
    "A3 a space before": lambda text: f" {text}",
    "A3 a tab before": lambda text: f"\t{text}",
    "A3 a space after": lambda text: f"{text} ",
    "A3 a tab after": lambda text: f"{text}\t",
    "A3 a newline after": lambda text: f"{text}\n",
    "A3 a carriage return after": lambda text: f"{text}\r",
    "A3 both after": lambda text: f"{text}\r\n",
    "A6 checksum wrong by one": lambda text: flipped(text, -1),
    "A8 the checksum missing": lambda text: text[:-6],
    "A8 one character more": lambda text: f"{text}0",
    "A8 twice": lambda text: text * 2,
    "A8 the random part only": lambda text: text[21:],
    "A9 another kind": lambda text: f"thp{text[3:]}",
    "A9 no such kind": lambda text: f"thx{text[3:]}",
    "A9 another prefix": lambda text: f"gh{text[2:]}",
    "A9 no prefix": lambda text: text[4:],
    "A9 upper-case prefix": lambda text: f"TH{text[2:]}",
    "A10 case swapped": str.swapcase,
    "A10 lower case": str.lower,
    "A11 no-break space before": lambda text: f"\u00a0{text}",
    "A11 no-break space after": lambda text: f"{text}\u00a0",
    "A11 zero width inside": lambda text: f"{text[:20]}\u200b{text[20:]}",
    "A11 byte order mark before": lambda text: f"\ufeff{text}",
    "A12 Cyrillic a": lambda text: re.sub("[0-9A-Za-z]", "\u0430", text[4:5]).join((text[:4], text[5:])),
    "A12 full-width digit": lambda text: f"{text[:4]}\uff11{text[5:]}",
    "A12 Arabic digit": lambda text: f"{text[:4]}\u0661{text[5:]}",
    "A12 all full-width": lambda text: "".join(chr(ord(each) + 0xFEE0) for each in text),
    "A13 a byte that is no UTF-8": lambda text: f"{text[:-1]}\xff",
    "A13 a lone surrogate": lambda text: f"{text[:-1]}\udcff",
    "A14 NUL inside": lambda text: f"{text[:10]}\x00{text[11:]}",
    "A14 NUL after": lambda text: f"{text}\x00",
    "A15 8 KiB": lambda text: text + "a" * 8 * 1024,
    "A15 64 KiB": lambda text: text + "a" * 64 * 1024,
    "A15 1 MiB": lambda text: text + "a" * 1024 * 1024,
    "A25 a URL's scheme": lambda text: f"secret-token:{text}",
    "A25 percent-encoded": lambda text: text.replace("_", "%5F"),
    "A25 quoted": lambda text: f'"{text}"',
    "A26 the public id": lambda text: text[4:20],
    "A26 prefix and id": lambda text: text[:20],
}


@every_carrier
def test_a_malformed_secret_is_invalid_and_costs_no_query(
    carrier: str, ours: Shown, attempt: Attempt, django_assert_num_queries: Any
) -> None:
    for (attack, malformed), door in itertools.product(MALFORMED.items(), DOORS):
        with attempt(f"{attack} at {door}"):
            with django_assert_num_queries(0):
                response = knock(door, CARRIERS[carrier](malformed(ours.text), ours))
            assert_problem(response, 401, "token_invalid")
            assert ours.text not in response.content.decode()


WHOLE_HEADERS: dict[str, str] = {
    "A1 an empty header": "",
    "A1 a blank header": " ",
    "A2 the scheme alone": "Bearer",
    "A2 the other scheme alone": "PVEAPIToken",
    "A2 the other scheme and its equals sign": "PVEAPIToken=",
    "A3 a tab for the space": "Bearer\t{text}",
    "A3 two spaces": "Bearer  {text}",
    "A3 a space before the scheme": " Bearer {text}",
    "A4 the other scheme in lower case": "pveapitoken={principal}!{name}={text}",
    "A5 no scheme": "{text}",
    "A5 Basic": "Basic {basic}",
    "A5 Basic with the secret": "Basic {text}",
    "A5 Token": "Token {text}",
    "A5 Digest": "Digest {text}",
    "A5 Negotiate": "Negotiate {text}",
    "A5 two words": "Bearer token {text}",
    "A5 no space": "Bearer{text}",
    "A5 a colon": "Bearer: {text}",
    "A22 no exclamation mark": "PVEAPIToken={principal}{name}={text}",
    "A22 no equals sign": "PVEAPIToken={principal}!{name}{text}",
    "A22 no secret": "PVEAPIToken={principal}!{name}",
    "A22 an empty secret": "PVEAPIToken={principal}!{name}=",
    "A22 two exclamation marks": "PVEAPIToken={principal}!!{name}={text}",
    "A22 a third part": "PVEAPIToken={principal}!{name}!{name}={text}",
    "A22 a second secret": "PVEAPIToken={principal}!{name}={text}={text}",
    "A22 an equals sign in the secret": "PVEAPIToken={principal}!{name}={text}=",
    "A22 an encoded exclamation mark": "PVEAPIToken={principal}%21{name}={text}",
    "A22 an encoded equals sign": "PVEAPIToken={principal}!{name}%3D{text}",
    "A22 no principal": "PVEAPIToken=!{name}={text}",
    "A22 no name": "PVEAPIToken={principal}!={text}",
    "A22 nothing but marks": "PVEAPIToken=!=",
    "A22 a space after the first equals sign": "PVEAPIToken= {principal}!{name}={text}",
    "A22 a colon for the equals sign": "PVEAPIToken={principal}!{name}:{text}",
    "A22 a name that is no name": "PVEAPIToken={principal}!a b={text}",
    "A24 one scheme inside the other": "Bearer PVEAPIToken={principal}!{name}={text}",
    "A24 and the other way round": "PVEAPIToken={principal}!{name}=Bearer {text}",
    "A24 the scheme twice": "Bearer Bearer {text}",
}


def written(template: str, of: Shown) -> str:
    basic = base64.b64encode(f"{of.name}:{of.text}".encode()).decode()
    return template.format(text=of.text, principal=of.principal, name=of.name, basic=basic)


@every_door
def test_a_malformed_authorization_is_invalid_and_costs_no_query(
    door: str, ours: Shown, attempt: Attempt, django_assert_num_queries: Any
) -> None:
    for attack, template in WHOLE_HEADERS.items():
        with attempt(attack):
            with django_assert_num_queries(0):
                response = knock(door, {"Authorization": written(template, ours)})
            assert_problem(response, 401, "token_invalid")


NOT_FOR_THE_OTHER_HEADER = (
    "Bearer {text}",
    "bearer {text}",
    "PVEAPIToken={principal}!{name}={text}",
    "Token {text}",
)


@every_door
def test_the_other_header_holds_nothing_but_the_secret(
    door: str, ours: Shown, attempt: Attempt
) -> None:  # A24
    for template in NOT_FOR_THE_OTHER_HEADER:
        with attempt(template):
            response = knock(door, {"X-Auth-Token": written(template, ours)})
            assert_problem(response, 401, "token_invalid")


@every_carrier
def test_no_single_character_can_be_replaced(carrier: str, ours: Shown) -> None:  # A7
    for place in range(len(ours.text)):
        response = knock("machines", CARRIERS[carrier](flipped(ours.text, place), ours))
        assert_problem(response, 401, "token_invalid")

    assert knock("machines", CARRIERS[carrier](ours.text, ours)).status_code == 200


@every_carrier
def test_no_character_can_be_missing_or_added(carrier: str, ours: Shown) -> None:  # A8
    shorter = [ours.text[:-count] for count in range(1, len(ours.text), 3)]
    longer = [ours.text + string.ascii_letters[:count] for count in range(1, 12)]
    headless = [ours.text[count:] for count in range(1, len(ours.text), 3)]

    answers = {
        (response.status_code, response.json()["code"])
        for text in (*shorter, *longer, *headless)
        for response in [knock("whoami", CARRIERS[carrier](text, ours))]
    }

    assert answers == {(401, "token_invalid")}


# Well-formed, and still not a token's secret

FORGED: dict[str, Callable[[str], str]] = {
    "A7 another first character of the id": lambda text: repaired(flipped(text, 4)),
    "A7 another last character of the id": lambda text: repaired(flipped(text, 19)),
    "A7 another first character of the random part": lambda text: repaired(flipped(text, 21)),
    "A7 another last character of the random part": lambda text: repaired(flipped(text, -7)),
    "A9 a personal token of that id": lambda text: repaired(f"thp{text[3:]}"),
    "A9 a group's token of that id": lambda text: repaired(f"thg{text[3:]}"),
    "A10 the id in the other case": lambda text: repaired(text[:4] + text[4:20].swapcase() + text[20:]),
    "A30 an unknown id": lambda text: repaired(text[:4] + secret.generate_id() + text[20:]),
    "A30 a wrong secret": lambda text: secret.generate("fleet", text[4:20]),
}


@every_door
@every_carrier
def test_a_forged_secret_is_answered_as_an_unknown_one(
    door: str, carrier: str, ours: Shown, attempt: Attempt
) -> None:
    unknown = secret.generate("fleet", secret.generate_id())
    as_unknown = without_id(knock(door, CARRIERS[carrier](unknown, ours)))
    events = Event.objects.count()

    for attack, forged in FORGED.items():
        with attempt(attack):
            response = knock(door, CARRIERS[carrier](forged(ours.text), ours))

            assert_problem(response, 401, "token_invalid")
            assert without_id(response) == as_unknown
            assert Event.objects.count() == events, "what proves nothing leaves no event in anybody's trail"


@every_door
@every_carrier
def test_what_is_stored_of_a_secret_is_no_secret(door: str, carrier: str, estate: Estate) -> None:  # A27
    ours = shown(estate.ours.token)
    digest = bytes(TokenSecret.objects.get(token=estate.ours.token.token).digest)
    as_random = (digest.hex() + "0" * 32)[:32]
    texts = [digest.hex(), base64.b64encode(digest).decode(), digest.decode("latin-1")]
    texts.append(repaired(f"{ours.text[:21]}{as_random}000000"))

    for text in texts:
        # the bytes themselves may hold a comma, which joins two credentials
        refusal = (400, "multiple_credentials") if "," in text else (401, "token_invalid")
        assert_problem(knock(door, CARRIERS[carrier](text, ours)), *refusal)


@every_door
@every_carrier
def test_a_digest_planted_in_the_database_without_the_pepper_opens_nothing(
    door: str, carrier: str, estate: Estate
) -> None:  # A28
    token = estate.ours.token.token
    known = secret.generate("fleet", token.pk)
    plain = known.encode()
    plants = [
        hashlib.sha256(plain).digest(),
        hmac.digest(b"", plain, "sha256"),
        hmac.digest(b"guess", plain, "sha256"),
    ]
    TokenSecret.objects.filter(token=token).update(valid_until=now() + timedelta(days=1))
    for generation, digest in enumerate(plants, start=2):
        TokenSecret.objects.create(
            token=token,
            generation=generation,
            digest=digest,
            pepper_id=2,
            created_at=now(),
            valid_until=now() + timedelta(days=1),
        )

    assert_problem(knock(door, CARRIERS[carrier](known, shown(estate.ours.token))), 401, "token_invalid")

    ours = shown(estate.ours.token)
    assert knock(door, CARRIERS[carrier](ours.text, ours)).status_code == DOORS[door].opened


@every_door
@every_carrier
def test_a_rotated_secret_is_invalid_at_once(door: str, carrier: str, estate: Estate) -> None:  # A29
    ours = shown(estate.ours.token)
    fresh = lifecycle.rotate(as_stored(estate.ours.token.token), by=factories.operator)

    response = knock(door, CARRIERS[carrier](ours.text, ours))

    assert_problem(response, 401, "token_invalid")
    unknown = secret.generate("fleet", secret.generate_id())
    assert without_id(response) == without_id(knock(door, CARRIERS[carrier](unknown, ours)))
    new = shown(fresh)
    assert knock(door, CARRIERS[carrier](new.text, new)).status_code == DOORS[door].opened


# The statuses, told only to who proves possession


def disabled(estate: Estate) -> issuance.Issued:
    issued = factories.make_token(estate.ours.fleet, "machines:read")
    lifecycle.disable(issued.token, by=factories.operator)
    return issued


def revoked(estate: Estate) -> issuance.Issued:
    issued = factories.make_token(estate.ours.fleet, "machines:read")
    lifecycle.revoke(issued.token, by=factories.operator)
    return issued


def expired(estate: Estate) -> issuance.Issued:
    with time_machine.travel(now() - timedelta(days=91), tick=False):
        return factories.make_token(estate.ours.fleet, "machines:read")


def pending(estate: Estate) -> issuance.Issued:
    owner = factories.session(estate.ours.owner)
    organizations.change(
        as_stored(estate.ours.organization), policy={"approvals_needed": {"low": 1}}, by=owner
    )
    return issuance.issue(
        as_stored(estate.ours.organization),
        owner=estate.ours.fleet,
        name="waiting",
        wish=issuance.Wish(scopes=parse_scopes(["machines:read"])),
        by=owner,
    )


def rejected(estate: Estate) -> issuance.Issued:
    issued = pending(estate)
    request = issued.token.open_request
    assert request is not None
    requests.withdraw(request, by=factories.session(estate.ours.owner))
    return issued


def of_a_suspended_owner(estate: Estate) -> issuance.Issued:
    issued = factories.make_token(
        estate.ours.member.user, "machines:read", organization=estate.ours.organization
    )
    membership.suspend(as_stored(estate.ours.member), by=factories.operator)
    return issued


DENIED: dict[str, Callable[[Estate], issuance.Issued]] = {
    "token_disabled": disabled,
    "token_revoked": revoked,
    "token_expired": expired,
    "token_pending": pending,
    "token_rejected": rejected,
    "owner_inactive": of_a_suspended_owner,
}


@pytest.mark.parametrize("code", DENIED)
def test_the_right_secret_of_a_token_that_does_not_work_is_told_why(
    code: str, estate: Estate, attempt: Attempt
) -> None:  # A30
    theirs = shown(DENIED[code](estate))

    for carrier, door in itertools.product(CARRIERS, DOORS):
        with attempt(f"{carrier} at {door}"):
            response = knock(door, CARRIERS[carrier](theirs.text, theirs))
            assert_problem(response, 401, code)
            event = factories.last_event(action="token.denied")
            assert (event.outcome, event.reason) == ("denied", code)
            assert event.request_id == response["X-Request-ID"]


@pytest.mark.parametrize("code", DENIED)
def test_a_wrong_secret_learns_nothing_of_the_token_s_status(
    code: str, estate: Estate, attempt: Attempt
) -> None:  # A30
    theirs = shown(DENIED[code](estate))
    wrong = secret.generate("fleet", theirs.text[4:20])
    unknown = secret.generate("fleet", secret.generate_id())

    for carrier, door in itertools.product(CARRIERS, DOORS):
        with attempt(f"{carrier} at {door}"):
            response = knock(door, CARRIERS[carrier](wrong, theirs))
            assert_problem(response, 401, "token_invalid")
            assert without_id(response) == without_id(knock(door, CARRIERS[carrier](unknown, theirs)))
            assert not Event.objects.filter(action="token.denied").exists()


# As much work, whatever is wrong


@pytest.mark.parametrize("generations", [1, 3])
def test_an_unknown_id_and_a_wrong_secret_cost_the_same(
    generations: int, estate: Estate, attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:  # A30, its timing: the same number of queries and of digests
    ours = shown(estate.ours.token)
    for _ in range(generations - 1):
        token = as_stored(estate.ours.token.token)
        lifecycle.rotate(token, overlap=timedelta(days=1), by=factories.operator)
    knock("machines", bearer(ours.text, ours))  # the peppers are proven from here on
    real, digests = hmac.digest, []

    def counting(*arguments: Any) -> bytes:
        digests.append(1)
        return real(*arguments)

    monkeypatch.setattr(hmac, "digest", counting)

    def cost(door: str, carrier: str, text: str) -> tuple[int, int]:
        digests.clear()
        with CaptureQueriesContext(connection) as queries:
            response = knock(door, CARRIERS[carrier](text, ours))
        assert_problem(response, 401, "token_invalid")
        return len(queries), len(digests)

    for carrier, door in itertools.product(CARRIERS, DOORS):
        with attempt(f"{carrier} at {door}"):
            unknown = cost(door, carrier, secret.generate("fleet", secret.generate_id()))
            wrong = cost(door, carrier, secret.generate("fleet", ours.text[4:20]))

            assert unknown == wrong
            assert unknown[1] == 1, "one digest is computed in either case"


# The PVE form names a principal and a token: both must be the token's own


NAMED_OTHERWISE = {
    "another person's name": ("acme-owner", "{name}"),
    "a name that nobody bears": ("nobody", "{name}"),
    "a realm": ("{principal}@pve", "{name}"),
    "another token's name": ("{principal}", "other"),
    "the id for the name": ("{principal}", "{id}"),
    "both changed round": ("{name}", "{principal}"),
    "a person of another organization": ("globex-owner", "{name}"),
}


@every_door
def test_the_pve_form_must_name_the_token_s_own_principal_and_name(
    door: str, estate: Estate, attempt: Attempt
) -> None:  # A22, A23
    ours = shown(estate.ours.token)
    words = {"principal": ours.principal, "name": ours.name, "id": estate.ours.token.token.pk}
    before = Event.objects.filter(action="token.denied").count()

    for attack, (principal, name) in NAMED_OTHERWISE.items():
        with attempt(attack):
            value = f"PVEAPIToken={principal.format(**words)}!{name.format(**words)}={ours.text}"
            response = knock(door, {"Authorization": value})

            assert_problem(response, 401, "token_invalid")
            denial = factories.last_event(action="token.denied")
            assert (denial.target_id, denial.reason) == (estate.ours.token.token.pk, "token_invalid")
            assert Event.objects.filter(action="token.denied").count() == before + 1


@every_door
def test_the_pve_form_is_compared_without_case(door: str, ours: Shown) -> None:
    value = f"PVEAPIToken={ours.principal.upper()}!{ours.name.upper()}={ours.text}"

    assert knock(door, {"Authorization": value}).status_code == DOORS[door].opened


# More than one credential

TWO_AT_ONCE: dict[str, dict[str, str]] = {
    "A16 two headers, joined": {"Authorization": "Bearer {text},Bearer {text}"},
    "A16 two headers, joined with a space": {"Authorization": "Bearer {text}, Bearer {text}"},
    "A16 of two forms": {"Authorization": "Bearer {text},PVEAPIToken={principal}!{name}={text}"},
    "A16 the second is junk": {"Authorization": "Bearer {text},x"},
    "A16 the second is empty": {"Authorization": "Bearer {text},"},
    "A16 the first is empty": {"Authorization": ",Bearer {text}"},
    "A16 the other header twice": {"X-Auth-Token": "{text},{text}"},
    "A17 both, equal": {"Authorization": "Bearer {text}", "X-Auth-Token": "{text}"},
    "A17 both, the second junk": {"Authorization": "Bearer {text}", "X-Auth-Token": "junk"},
    "A17 both, the second empty": {"Authorization": "Bearer {text}", "X-Auth-Token": ""},
    "A17 both, the first junk": {"Authorization": "Basic junk", "X-Auth-Token": "{text}"},
    "A17 both, the first empty": {"Authorization": "", "X-Auth-Token": "{text}"},
    "A17 both, the first of the PVE form": {
        "Authorization": "PVEAPIToken={principal}!{name}={text}",
        "X-Auth-Token": "{text}",
    },
}


@every_door
def test_two_credentials_at_once_are_a_bad_request(
    door: str, ours: Shown, attempt: Attempt, django_assert_num_queries: Any
) -> None:
    for attack, templates in TWO_AT_ONCE.items():
        headers = {header: written(value, ours) for header, value in templates.items()}
        with attempt(attack):
            with django_assert_num_queries(0):
                response = knock(door, headers)
            assert_problem(response, 400, "multiple_credentials")


# No credential, and those in places that are never read


@every_door
def test_no_credential_is_said_to_be_missing(door: str) -> None:
    response = knock(door, {})

    assert_problem(response, 401, "credential_missing")
    assert response["WWW-Authenticate"] == 'Bearer realm="tokenhouse"', "no error where nothing was shown"


def with_query(door: str, query: str) -> str:
    path = DOORS[door].path
    return f"{path}{'&' if '?' in path else '?'}{query}"


@every_door
def test_a_secret_in_the_query_is_no_credential(door: str, ours: Shown, attempt: Attempt) -> None:  # A19, A20
    for query in ("token={text}", "token={text}&token={text}", "access_token={text}", "token="):
        with attempt(query):
            response = client.get(with_query(door, query.format(text=ours.text)))

            assert_problem(response, 401, "credential_missing")
            assert ours.text not in response.content.decode()


@every_carrier
@pytest.mark.parametrize(("door", "status"), [("whoami", 400), ("machines", 400), ("gate", 204)])
def test_a_secret_in_the_query_does_not_count_beside_a_header(
    door: str, status: int, carrier: str, ours: Shown
) -> None:  # A18; the API refuses every parameter that it does not know
    response = client.get(with_query(door, f"token={ours.text}"), headers=CARRIERS[carrier](ours.text, ours))

    assert response.status_code == status
    if status == 400:
        assert_problem(response, 400, "invalid")
        assert response.json()["errors"][0]["code"] == "unknown_parameter"
        assert ours.text not in response.content.decode()


@every_door
@pytest.mark.parametrize("place", ["cookie", "body", "X-Api-Key", "Proxy-Authorization", "Cookie-Auth"])
def test_a_secret_anywhere_else_is_no_credential(door: str, place: str, ours: Shown) -> None:
    client = APIClient(raise_request_exception=False)  # of its own: cookies stay
    if place == "cookie":
        client.cookies["token"] = ours.text
        response = client.get(DOORS[door].path)
    elif place == "body":
        response = client.generic("GET", DOORS[door].path, f'{{"token": "{ours.text}"}}', "application/json")
    else:
        response = client.get(DOORS[door].path, headers={place: ours.text})

    assert_problem(response, 401, "credential_missing")


# A header never falls through to a cookie


@pytest.mark.parametrize("door", ["whoami", "machines"])
def test_a_bad_header_never_becomes_the_session_beside_it(
    door: str, estate: Estate, attempt: Attempt
) -> None:
    client = factories.session_client(estate.ours.owner)
    ours = shown(estate.ours.token)
    assert client.get(DOORS[door].path).status_code == 200

    for carrier, text in itertools.product(CARRIERS, ("", "junk", "thf_" + "0" * 55)):
        with attempt(f"{carrier}: {text}"):
            response = client.get(DOORS[door].path, headers=CARRIERS[carrier](text, ours))
            assert_problem(response, 401, "token_invalid")

    assert client.get(DOORS[door].path).status_code == 200, "the session was there all the while"


@every_carrier
def test_a_session_beside_a_good_header_is_ignored(carrier: str, estate: Estate) -> None:
    client = factories.session_client(estate.ours.owner)
    ours = shown(estate.ours.token)

    response = client.get("/api/v1/whoami/", headers=CARRIERS[carrier](ours.text, ours))

    assert response.json()["type"] == "token"


def test_a_session_opens_no_gate(estate: Estate) -> None:
    response = factories.session_client(estate.ours.owner).get(DOORS["gate"].path)

    assert_problem(response, 401, "credential_missing")


def test_a_session_id_is_no_token(estate: Estate) -> None:
    client = factories.session_client(estate.ours.owner)
    session = client.cookies["sessionid"].value
    assert Session.objects.filter(pk=session).exists()

    assert_problem(knock("whoami", bearer(session, shown(estate.ours.token))), 401, "token_invalid")


def test_a_password_is_no_token(estate: Estate) -> None:
    person = User.objects.get(pk=estate.ours.owner.pk)
    person.set_password(factories.PASSWORD)
    person.save()
    basic = base64.b64encode(f"{person.username}:{factories.PASSWORD}".encode()).decode()

    assert_problem(knock("whoami", {"Authorization": f"Basic {basic}"}), 401, "token_invalid")


# The gate: whose door it is


@pytest.mark.parametrize("organization", ["globex", "no-such-organization", "ACME", "acme\u200b"])
def test_at_another_organization_s_gate_a_token_is_unknown(
    organization: str, estate: Estate, attempt: Attempt
) -> None:
    ours = shown(estate.ours.token)
    path = DOORS["gate"].path.replace("organization=acme", f"organization={organization}")
    unknown = secret.generate("fleet", secret.generate_id())

    for carrier, written_as in CARRIERS.items():
        with attempt(carrier):
            response = client.get(path, headers=written_as(ours.text, ours))

            assert_problem(response, 401, "token_invalid")
            assert without_id(response) == without_id(client.get(path, headers=written_as(unknown, ours)))
            assert factories.last_event(target_id=estate.ours.token.token.pk).reason == "token_invalid"
            told = Event.objects.filter(organization_id=estate.theirs.organization.pk, action="token.denied")
            assert told.count() == (1 if organization == "globex" else 0)
            assert not told.filter(target_id=estate.ours.token.token.pk).exists(), (
                "it learns nothing of whose it was"
            )


ASKED_WRONGLY = (
    "organization=acme%00&scope=machines:read&path=/fleets/acme-edge",
    "organization=acme&scope=machines:read%00&path=/fleets/acme-edge",
    "organization=acme&scope=machines:read&path=/fleets/acme-edge%00",
    "organization=acme&organization=globex&scope=machines:read&path=/fleets/acme-edge",
    "organization=&scope=machines:read&path=/",
    "scope=machines:read&path=/",
    "organization=acme&path=/",
    "organization=acme&scope=machines:read",
    "organization=acme&scope=everything&path=/",
    "organization=acme&scope=machines:*&path=/",
    "organization=acme&scope=machines:read&path=" + "/a" * 200,
)


@every_carrier
def test_a_gate_that_is_asked_wrongly_says_so(carrier: str, ours: Shown, attempt: Attempt) -> None:  # A14
    for query in ASKED_WRONGLY:
        with attempt(query):
            response = client.get(f"/gate/verify?{query}", headers=CARRIERS[carrier](ours.text, ours))

            assert response.status_code == 400
            assert response["Content-Type"] == "application/problem+json"
