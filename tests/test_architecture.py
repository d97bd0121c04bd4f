"""The shape of the code that no import linter sees: migrations, module names, the lock files."""

import re
from pathlib import Path

import pytest
from django.db.migrations.loader import MigrationLoader

LAYERS = ("edge", "audit", "fleets", "approvals", "tokens")  # the lowest first
PACKAGES = ("config", "audit", "fleets", "approvals", "tokens", "tests", "bench")
JUNK_DRAWERS = {"utils", "util", "helpers", "common", "services", "selectors", "base", "managers", "misc"}


def test_migrations_depend_the_same_way_as_imports() -> None:
    loader = MigrationLoader(None)
    upwards = [
        f"{app}.{name} depends on {other}"
        for (app, name), migration in loader.disk_migrations.items()
        for other, _ in [*migration.dependencies, *migration.run_before]
        if app in LAYERS and other in LAYERS and LAYERS.index(other) > LAYERS.index(app)
    ]
    assert upwards == []


def test_migrations_have_names_that_say_what_they_do() -> None:
    loader = MigrationLoader(None)
    unnamed = [f"{app}.{name}" for app, name in loader.disk_migrations if app in LAYERS and "_auto_" in name]
    assert unnamed == []


def test_only_the_house_includes_addresses(repository: Path) -> None:
    """An include names its module in a string, which no import linter reads."""
    including = [
        str(path.relative_to(repository))
        for package in PACKAGES
        for path in (repository / package).rglob("*.py")
        if re.search(r"\binclude\([\"']", path.read_text(encoding="utf-8"))
    ]
    assert including == ["config/urls.py"]


def test_no_module_is_a_junk_drawer(repository: Path) -> None:
    junk = [
        str(path.relative_to(repository))
        for package in PACKAGES
        for path in (repository / package).rglob("*")
        if path.stem in JUNK_DRAWERS and (path.is_dir() or path.suffix == ".py")
    ]
    assert junk == []


def test_every_module_says_what_it_owns(repository: Path) -> None:
    silent = [
        str(path.relative_to(repository))
        for package in PACKAGES
        for path in (repository / package).rglob("*.py")
        if "migrations" not in path.parts and (source := path.read_text(encoding="utf-8")).strip()
        if not re.match(r'(#!.*\n)?r?"""', source)
    ]
    assert silent == []


@pytest.mark.parametrize("lock", ["installer.txt", "runtime.txt", "development.txt"])
def test_locks_pin_every_package_by_hash_and_name_no_index(repository: Path, lock: str) -> None:
    text = (repository / "requirements" / lock).read_text(encoding="utf-8")
    requirements = re.split(r"\n(?=\S)", re.sub(r"^ *#.*\n", "", text, flags=re.MULTILINE).strip())
    assert [line for line in requirements if "==" not in line or "--hash=sha256:" not in line] == []
    assert "://" not in text


def test_every_dependency_is_explained(repository: Path) -> None:
    """docs/dependencies.md says why each package of requirements/*.in is there, and names no other."""
    wanted = {
        match[0]
        for source in ("installer.in", "runtime.in", "development.in")
        for line in (repository / "requirements" / source).read_text(encoding="utf-8").splitlines()
        if (match := re.match(r"[a-z0-9][a-z0-9-]*", line))
    }
    rows = (repository / "docs" / "dependencies.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"^\| `([a-z0-9-]+)", rows, re.MULTILINE))
    assert explained == wanted
