"""`facade settings`: what `serve` and the other commands read."""

from facade.serving.config import PREFIX, FacadeSettings, IdentifySettings, UpstreamSettings
from facade.serving.setting_meanings import MEANINGS
from shared.command_examples import ExemplaryCommand
from shared.settings_command import settings_command
from shared.settings_table import SettingRow, setting_rows


def facade_settings() -> list[SettingRow]:
    """Return a row for each FACADE_* variable."""
    commands = {
        "serve": FacadeSettings,
        "check, tags and resolve": UpstreamSettings,
        "identify": IdentifySettings,
    }
    return setting_rows(PREFIX, commands, MEANINGS)


@settings_command(
    ExemplaryCommand, examples=("facade settings", "facade settings --markdown > settings.md")
)
def settings() -> list[SettingRow]:
    """Print every environment variable: its default, its form, and what it is for.

    Each may also be given as NAME_FILE, the path of a file that holds the value, unless its name
    ends in _FILE already.
    """
    return facade_settings()
