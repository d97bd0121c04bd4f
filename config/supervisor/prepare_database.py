"""Run as a child: migrates the database and fills an empty one. Prints one JSON line.

The one part of the supervisor that imports Django, hence a process of its own.
"""

import argparse
import io
import json
import sys

import django
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import SystemCheckError


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--username", required=True)
    parser.add_argument("--empty", action="store_true")
    arguments = parser.parse_args()
    try:
        django.setup()
        call_command("check", stdout=io.StringIO())  # unsafe settings are refused before anything is written
    except (SystemCheckError, ImproperlyConfigured) as refusal:
        sys.exit(str(refusal))
    call_command("migrate", interactive=False, verbosity=0)
    users = get_user_model()._default_manager.all()
    if not users.exists():
        output = io.StringIO()
        options = ["--empty"] if arguments.empty else []
        call_command("demo", "--username", arguments.username, *options, stdout=output)
        filled = json.loads(output.getvalue())
        print(json.dumps({"is_new": True, "username": filled["username"], "token": filled.get("token")}))
        return
    first_superuser = users.filter(is_superuser=True, is_active=True).order_by("pk").first()
    username = first_superuser.get_username() if first_superuser else ""
    print(json.dumps({"is_new": False, "username": username, "token": None}))


if __name__ == "__main__":
    main()
