"""docs/settings.md says what the code reads."""

import re
from pathlib import Path

from config import settings_table
from config.environment import SETTINGS


def test_the_page_is_current(repository: Path) -> None:
    """Where this fails: python -m config.settings_table"""
    assert (repository / "docs" / "settings.md").read_text(encoding="utf-8") == settings_table.page()


def test_the_page_names_no_folder_of_this_machine(repository: Path) -> None:
    assert str(repository) not in settings_table.page()


def test_every_variable_that_the_settings_read_is_in_the_table(repository: Path) -> None:
    source = (repository / "config" / "settings.py").read_text(encoding="utf-8")
    read = set(re.findall(r'env\.\w+\("([A-Z_]+)"\)', source))
    assert read <= {setting.name for setting in SETTINGS}
    assert len(read) > 5
