"""`control-plane export`: connections as a file for `apply`."""

import click

from control_plane.commands.answers import ConnectionAnswer
from control_plane.commands.api_client import ApiClient
from control_plane.commands.printing import print_value
from control_plane.commands.running import command, fail, say
from control_plane.commands.usage import Command
from control_plane.declared.export_text import export_text, exported
from control_plane.declared.present import present_connection
from control_plane.serving.config import ClientSettings
from control_plane.serving.environment import settings
from shared.output_form import OutputForm, output_form


@click.command(
    cls=Command,
    examples=(
        "control-plane export > connections.yaml",
        "control-plane export --set production --json",
    ),
)
@click.option("--set", "set_name", metavar="NAME", help="The connections of this set alone.")
@output_form
@command
async def export(set_name: str | None, *, form: OutputForm | None) -> None:
    """Print the connections as a file for `apply`, which then finds nothing to do.

    Secrets are no part of it: each is a reference to fill in. A draft is printed in place of what
    serves, and revoked connections are left out.

    Settings: CONTROL_PLANE_URL, CONTROL_PLANE_TOKEN, CONTROL_PLANE_CA_FILE.
    """
    async with ApiClient.open(settings(ClientSettings)) as api:
        views = await api.items(ConnectionAnswer, "connections")
    present = [found for view in views if (found := present_connection(view)) is not None]
    chosen = [each for each in present if set_name in (None, each.set_name)]
    value = exported(chosen)
    if form:
        print_value(value, form)
    else:
        click.echo(export_text(value), nl=False)
    unbelieved = [each for each in chosen if each.newest is None]
    for each in unbelieved:
        say(f"{each.host} is left out: {each.problem}")
    if unbelieved:
        fail("the file is not whole")
