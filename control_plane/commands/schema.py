"""`control-plane schema`: the JSON Schema of the files that `apply` reads, for editors."""

import click
import orjson

from control_plane.commands.printing import print_value
from control_plane.commands.usage import Command
from control_plane.declared.file_schema import file_schema
from shared.output_form import OutputForm, output_form


@click.command(cls=Command, examples=("control-plane schema > connections.schema.json",))
@output_form
@click.option("--overlay", is_flag=True, help="Of files that are laid over others.")
def schema(*, overlay: bool, form: OutputForm | None) -> None:
    """Print the JSON Schema (draft 2020-12) of the files that `apply` reads, for editors."""
    value = file_schema(overlay=overlay)
    if form is OutputForm.YAML:
        print_value(value, form)
    else:
        click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2))
