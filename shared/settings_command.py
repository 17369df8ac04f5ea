"""`settings`, of either process: every variable with its type, default and meaning."""

from collections.abc import Callable, Sequence

import click

from shared.settings_table import SettingRow, as_json, as_markdown, as_text


def settings_command(rows: Callable[[], Sequence[SettingRow]]) -> click.Command:
    """Make the command of a function that returns the rows; its docstring is the help."""

    @click.command("settings", help=rows.__doc__)
    @click.option("--json", "as_", flag_value="json", help="A JSON array.")
    @click.option("--markdown", "as_", flag_value="markdown", help="A table of Markdown.")
    def settings(as_: str | None) -> None:
        match as_:
            case "json":
                click.echo(as_json(rows()))
            case "markdown":
                click.echo("\n".join(as_markdown(rows())))
            case _:
                click.echo("\n".join(as_text(rows())))

    return settings
