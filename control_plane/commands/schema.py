"""`control-plane schema`: the JSON Schema of the files that `apply` reads, for editors."""

import click
import orjson

from control_plane.commands.usage import Command
from control_plane.declared.file_schema import file_schema


@click.command(cls=Command, examples=("control-plane schema > connections.schema.json",))
@click.option("--overlay", is_flag=True, help="Of files that are laid over others.")
def schema(*, overlay: bool) -> None:
    """Print the JSON Schema (draft 2020-12) of the files that `apply` reads, for editors."""
    click.echo(orjson.dumps(file_schema(overlay=overlay), option=orjson.OPT_INDENT_2))
