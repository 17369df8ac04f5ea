"""`settings`, of either process: every variable with its type, default and meaning."""

from collections.abc import Callable, Sequence
from typing import Any

import click

from shared.settings_table import SettingRow, as_json, as_markdown, as_text, as_yaml


def settings_command(
    cls: type[click.Command] = click.Command, **attributes: Any
) -> Callable[[Callable[[], Sequence[SettingRow]]], click.Command]:
    """Make the command of a function that returns the rows; its docstring is the help."""
    return lambda rows: _command(rows, cls, attributes)


def _command(
    rows: Callable[[], Sequence[SettingRow]], cls: type[click.Command], attributes: dict[str, Any]
) -> click.Command:
    @click.command("settings", cls=cls, help=rows.__doc__, **attributes)
    @click.option("--json", "as_", flag_value="json", help="A JSON array.")
    @click.option("--yaml", "as_", flag_value="yaml", help="The same as YAML.")
    @click.option("--markdown", "as_", flag_value="markdown", help="A table of Markdown.")
    def settings(as_: str | None) -> None:
        match as_:
            case "json":
                click.echo(as_json(rows()))
            case "yaml":
                click.echo(as_yaml(rows()), nl=False)
            case "markdown":
                click.echo("\n".join(as_markdown(rows())))
            case _:
                click.echo("\n".join(as_text(rows())))

    return settings
