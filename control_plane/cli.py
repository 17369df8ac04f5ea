"""`control-plane`: the composition of its commands."""

import io
import sys
from typing import Final

import click

from shared.build import Build
from shared.core_dumps import forbid_core_dumps
from shared.hangup import ignore_hangups_of_serve
from shared.lazy_commands import LazyGroup
from shared.lost_output import telling_lost_output

_COMMANDS: Final = (
    "keys",
    "migrate",
    "operators",
    "serve",
    "login",
    "logout",
    "connections",
    "apply",
    "export",
    "schema",
    "devices",
    "sessions",
    "audit",
    "webhooks",
    "settings",
    "completion",
)


@click.group(
    cls=LazyGroup,
    modules={name: f"control_plane.commands.{name}" for name in _COMMANDS},
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(str(Build.of_this_program()))
def cli() -> None:
    """Connect registries, approve them, and say who may.

    Settings come from the environment, as CONTROL_PLANE_*; each also as ..._FILE, a file that
    holds the value. Results go to standard output, words to standard error. Exit status: 0 done,
    1 what was asked failed, 2 the call or the configuration is wrong, 3 `connections check`
    could not tell, or `apply --dry-run` found changes.
    """


def main() -> None:
    """Run the command of this process's arguments."""
    forbid_core_dumps()
    ignore_hangups_of_serve()
    if sys.stdin is None:  # `<&-`: then nothing comes from there, and nobody is asked
        sys.stdin = io.TextIOWrapper(io.BytesIO())
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that lacks some letters
    with telling_lost_output():
        cli.main(prog_name="control-plane")
