"""`control-plane schema`: the JSON Schema of the files that `apply` reads, for editors."""

from functools import partial

import click
import orjson

from control_plane.commands.printing import print_value
from control_plane.commands.usage import Command
from control_plane.declared.file_schema import file_schema
from shared.output_form import OutputForm, output_form


@click.command(cls=Command, examples=("control-plane schema > connections.schema.json",))
@partial(output_form, json="Print JSON on several lines, as without an option.")
@click.option(
    "--overlay",
    is_flag=True,
    help="The schema of files that are laid over others: they need not have every field.",
)
def schema(*, overlay: bool, form: OutputForm | None) -> None:
    """Print the JSON Schema (draft 2020-12) of the files that `apply` reads.

    An editor that knows it completes the fields, says what each means, and marks what is wrong.
    """
    value = file_schema(overlay=overlay)
    if form is OutputForm.YAML:
        print_value(value, form)
    else:
        click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2))
