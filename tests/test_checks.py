"""The settings' system checks, and that nothing starts against them."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks

from config.environment import env
from fleets import consequences

REPOSITORY = Path(__file__).resolve().parent.parent
ONE = "unix:///tmp/valkey.sock?db=0"
SAFE: dict[str, str] = {"TRUSTED_PROXIES": "10.0.0.0/28,192.0.2.7", "OUTGOING_NETWORKS": "10.20.0.0/16"}
# What is wrong in variables of one environment is all said at once: each (number, words) is serious by itself.
UNSAFE = [
    (
        {
            "TOKENHOUSE_PEPPERS": "1:abab",
            "TRUSTED_PROXIES": "10.0.0.5/24,0.0.0.0/0,::/0,::ffff:0:0/96",
            "CACHE_URL": ONE,
            "STATE_URL": ONE,
            "OUTGOING_NETWORKS": "internal,0.0.0.0/0,::ffff:0:0/96",
            "METRICS_NETWORKS": "10.20.0.7/24",
            "DEBUG": "true",
            "BIND": "192.0.2.1",
        },
        [
            ("E001", "Pepper 1 has fewer"),
            ("E002", "TRUSTED_PROXIES: "),
            ("E003", "TRUSTED_PROXIES trusts 0.0.0.0/0:"),
            ("E003", "TRUSTED_PROXIES trusts ::/0:"),
            ("E003", "TRUSTED_PROXIES trusts ::ffff:0:0/96:"),
            ("E004", "The cache shares"),
            ("E005", "DEBUG is on"),
            ("E014", "OUTGOING_NETWORKS: "),
            ("E015", "OUTGOING_NETWORKS allows 0.0.0.0/0:"),
            ("E015", "OUTGOING_NETWORKS allows ::ffff:0:0/96:"),
            ("E016", "METRICS_NETWORKS: "),
        ],
    ),
    ({"CACHE_URL": ONE, "BROKER_URL": ONE}, [("E004", "The cache shares")]),
]


DATABASE = "DATABASE_URL must be an address such as postgres://"
MALFORMED = [
    ({"LOG_LEVEL": "chatty"}, "LOG_LEVEL must be one of DEBUG, INFO, WARNING, ERROR, not 'CHATTY'."),
    (
        {"DATABASE_URL": "", "SQLITE_SYNCHRONOUS": "SOMETIMES"},
        "SQLITE_SYNCHRONOUS must be one of FULL, NORMAL, OFF",
    ),
    ({"DATABASE_URL": "xyzzy"}, DATABASE),
    ({"DATABASE_URL": "xyzzy://somewhere/name"}, DATABASE),
    ({"DATABASE_URL": "mysql://ada:xyzzy@host/name"}, DATABASE),
    ({"DATABASE_URL": "postgres://ada:xyzzy@host"}, DATABASE),
    ({"DATABASE_URL": "postgres://ada:xyzzy@host:port/name"}, DATABASE),
]


def started(changes: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """A web server's process, as far as importing the application."""
    command = [sys.executable, "-c", "import config.wsgi"]
    environment = {**os.environ, **changes}
    return subprocess.run(
        command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(("changes", "wrong"), UNSAFE)
def test_a_web_server_does_not_start_on_unsafe_settings(
    changes: dict[str, str], wrong: list[tuple[str, str]]
) -> None:
    outcome = started(changes)

    assert outcome.returncode != 0
    said = re.findall(r"\(tokenhouse\.(E\d+)\) (.*)\n\tHINT: \S", outcome.stderr)
    assert len(said) == len(wrong), outcome.stderr
    assert [(number, words) for number, words in wrong if not says(said, number, words)] == []


def says(said: list[tuple[str, str]], number: str, words: str) -> bool:
    return any(each == number and text.startswith(words) for each, text in said)


@pytest.mark.parametrize(("changes", "words"), MALFORMED)
def test_a_malformed_setting_explains_itself_in_one_line_that_holds_no_password(
    changes: dict[str, str], words: str
) -> None:
    command = [sys.executable, "manage.py", "check"]
    environment = {**os.environ, **changes}
    outcome = subprocess.run(
        command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60
    )

    assert outcome.returncode == 1
    assert outcome.stderr.startswith(f"manage.py: {words}")
    assert outcome.stderr.count("\n") == 1
    assert "xyzzy" not in outcome.stderr


@pytest.mark.parametrize("level", ["info", "WARNING"])
def test_a_log_level_may_be_written_in_either_case(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", level)

    assert env.level("LOG_LEVEL") == level.upper()


def test_a_web_server_starts_on_safe_settings() -> None:
    outcome = started(SAFE)

    assert (outcome.returncode, outcome.stderr) == (0, "")


def test_a_plain_http_address_is_worth_a_warning_at_deployment(settings: Any) -> None:
    settings.PUBLIC_URL = "http://tokens.example.org"
    assert "tokenhouse.W006" in {found.id for found in run_checks(include_deployment_checks=True)}

    settings.PUBLIC_URL = "https://tokens.example.org"
    assert "tokenhouse.W006" not in {found.id for found in run_checks(include_deployment_checks=True)}


def test_mail_that_is_written_into_the_log_is_worth_a_warning_at_deployment(settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
    assert "tokenhouse.W007" in {found.id for found in run_checks(include_deployment_checks=True)}

    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    assert "tokenhouse.W007" not in {found.id for found in run_checks(include_deployment_checks=True)}


@pytest.mark.parametrize(
    ("nobody", "words"),
    [
        ("_registered", "departures"),
        ("_weakening", "weaker policy"),
        ("_policy_applied", "outlive"),
        ("_deciders_lost", "votes"),
        ("", ""),
    ],
)
def test_what_nobody_above_the_estate_answers_for_is_an_error_that_says_what(
    monkeypatch: pytest.MonkeyPatch, nobody: str, words: str
) -> None:
    if nobody:
        monkeypatch.setattr(consequences, nobody, [])

    found = [error for error in run_checks() if error.id == "tokenhouse.E011"]

    assert [words in error.msg for error in found] == [True] * bool(nobody)
