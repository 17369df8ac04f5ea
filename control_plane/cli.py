"""`control-plane`: the composition of its commands."""

import click

from control_plane.commands.audit import audit
from control_plane.commands.connections import connections
from control_plane.commands.keys import keys
from control_plane.commands.migrate import migrate
from control_plane.commands.operators import operators
from control_plane.commands.serve import serve


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Connect registries, approve them, and say who may.

    Settings come from the environment, as CONTROL_PLANE_*; each also as ..._FILE, a file that
    holds the value. Results go to standard output, words to standard error. Exit status: 0 done,
    1 what was asked failed, 2 the call or the configuration is wrong.
    """


for _command in (keys, migrate, operators, serve, connections, audit):
    cli.add_command(_command)


def main() -> None:
    """Run the command of this process's arguments."""
    cli.main(prog_name="control-plane")
