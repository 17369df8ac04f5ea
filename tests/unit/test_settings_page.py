"""Every setting stands in the document, with the default that it really has."""

from collections.abc import Sequence

import orjson
import pytest
from attrs import frozen
from typed_settings.cls_utils import deep_options

from control_plane.commands.settings import control_plane_settings
from deploy.dev.debian import REPOSITORY
from deploy.dev.settings_page import page
from facade.commands.settings import facade_settings
from facade.serving.config import FacadeSettings
from shared.environment import form_of_option
from shared.setting_types import PositiveDuration
from shared.settings_table import Meaning, SettingRow, setting_rows
from tests.support.control_plane import warm_control_plane
from tests.support.facade_process import warm_facade

BOTH = pytest.mark.parametrize(
    "program, rows", [("facade", facade_settings()), ("control-plane", control_plane_settings())]
)


@frozen(kw_only=True)
class Settings:
    """A required one and one that has a default."""

    name: str
    pause: PositiveDuration = 90.0


def run(program: str, *arguments: str) -> str:
    """Return what a program prints in an environment without a setting."""
    warm = {"facade": warm_facade, "control-plane": warm_control_plane}[program]()
    ended = warm.run(arguments, environment={})
    assert ended.status == 0, ended.words
    return ended.output


def test_the_document_is_what_the_programs_know() -> None:
    """`make docs` writes it; whoever adds a setting finds out here."""
    assert (REPOSITORY / "docs" / "settings.md").read_text() == page()


@BOTH
def test_the_programs_print_every_setting(program: str, rows: Sequence[SettingRow]) -> None:
    """As a table, as JSON and as Markdown, and they need none for it."""
    printed = orjson.loads(run(program, "settings", "--json"))
    assert [each["variable"] for each in printed] == [row.variable for row in rows]
    header, *table = run(program, "settings").splitlines()
    assert header.split() == ["VARIABLE", "DEFAULT", "MEANING"]
    assert [line.split()[0] for line in table] == [row.variable for row in rows]
    assert run(program, "settings", "--markdown").strip() in page()


@BOTH
def test_help_and_version_are_asked_for_as_everywhere(
    program: str, rows: Sequence[SettingRow]
) -> None:
    """`-h` too."""
    assert rows
    assert "settings" in run(program, "-h")
    assert run(program, "-h") == run(program, "--help")
    assert run(program, "--version").startswith(f"{program}, version ")


def test_a_default_is_written_as_the_variable_would_hold_it() -> None:
    """Pasted, it changes nothing."""
    literal = {row.variable: row.default for row in facade_settings() if row.is_literal}
    assert literal
    for option in deep_options(FacadeSettings):
        text = literal.get(f"FACADE_{option.path.upper()}")
        if text is not None:
            assert form_of_option(option).parse(text) == option.default


def test_a_setting_needs_its_meaning_and_a_meaning_its_setting() -> None:
    """Neither is left out in silence."""
    name, pause = Meaning("a name"), Meaning("a pause")
    rows = setting_rows("APP", {"run": Settings}, {"pause": pause, "name": name})
    assert [(row.variable, row.default, row.required_by) for row in rows] == [
        ("APP_PAUSE", "90s", ()),
        ("APP_NAME", None, ("run",)),
    ]
    with pytest.raises(KeyError, match="pause"):
        setting_rows("APP", {"run": Settings}, {"name": name})
    with pytest.raises(KeyError, match="gone"):
        setting_rows("APP", {"run": Settings}, {"name": name, "pause": pause, "gone": name})
