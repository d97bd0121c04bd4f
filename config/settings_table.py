"""Writes docs/settings.md from the tables of settings: `python -m config.settings_table`. A test holds it current."""

from pathlib import Path

from config.environment import REPOSITORY, SETTINGS, Setting

PAGE = REPOSITORY / "docs" / "settings.md"
HEAD = """\
# Settings

Made from the code by `python -m config.settings_table`; edit `config/environment.py`, not this page.

Every process (web, worker, beat, `manage.py`) reads these variables from its environment, and what is missing there
from `settings.env` in the data folder, which `make run` writes. Combinations that would be unsafe are refused by
numbered system checks that say what to do: `manage.py check --deploy`.
"""
ONLY_FOR_RUN = (
    Setting("PORT", "8000", "Port of the web server; the next free one where it is taken."),
    Setting("ADMIN_PASSWORD", "", "Password of the first user; empty makes one and prints it once."),
    Setting("DEMO", "1", "0 starts with an empty organization in place of the demo's two."),
)


def page() -> str:
    return "\n".join(
        [HEAD, *_table(SETTINGS), "", "`make run` also reads, at its start:", "", *_table(ONLY_FOR_RUN), ""]
    )


def write(path: Path = PAGE) -> None:
    path.write_text(page(), encoding="utf-8")


def _table(settings: tuple[Setting, ...]) -> list[str]:
    rows = [f"| `{one.name}` | {_default(one)} | {_cell(one.purpose)} |" for one in settings]
    return ["| variable | default | what it is for |", "| --- | --- | --- |", *rows]


def _default(setting: Setting) -> str:
    if setting.default is None:
        return "required"
    return f"`{setting.default.replace(str(REPOSITORY), '.')}`" if setting.default else "empty"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    write()
