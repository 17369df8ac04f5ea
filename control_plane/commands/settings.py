"""`control-plane settings`: what every command reads."""

from control_plane.commands.usage import Command
from control_plane.prefix import PREFIX
from control_plane.serving.config import (
    AuditSettings,
    ClientSettings,
    MigrateSettings,
    OperatorsSettings,
    ServeSettings,
    WebhookSettings,
)
from control_plane.serving.setting_meanings import MEANINGS
from shared.settings_command import settings_command
from shared.settings_table import SettingRow, setting_rows


def control_plane_settings() -> list[SettingRow]:
    """Return a row for each CONTROL_PLANE_* variable."""
    commands = {
        "serve": ServeSettings,
        "migrate": MigrateSettings,
        "operators": OperatorsSettings,
        "audit": AuditSettings,
        "webhooks": WebhookSettings,
        "connections, apply, export, devices and login": ClientSettings,
    }
    return setting_rows(PREFIX, commands, MEANINGS)


@settings_command(
    Command,
    examples=("control-plane settings", "control-plane settings --markdown > settings.md"),
)
def settings() -> list[SettingRow]:
    """Print every environment variable: its default, its form, and what it is for.

    Each may also be given as NAME_FILE, the path of a file that holds the value, unless its name
    ends in _FILE already.
    """
    return control_plane_settings()
