"""`control-plane completion`: the words that a shell proposes while a line is typed."""

from typing import Final

import click
from click.shell_completion import get_completion_class

from control_plane.commands.usage import Command
from control_plane.prefix import PREFIX

VARIABLE: Final = f"_{PREFIX}_COMPLETE"  # click's own name for it
_PROGRAM: Final = "control-plane"
SHELLS: Final = ("bash", "zsh", "fish")


@click.command(
    cls=Command,
    examples=(
        "control-plane completion bash > /etc/bash_completion.d/control-plane",
        "control-plane completion zsh > ~/.zfunc/_control-plane",
        "control-plane completion fish > ~/.config/fish/completions/control-plane.fish",
    ),
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script for a SHELL, which then proposes commands, options and connections.

    For this shell alone: source <(control-plane completion bash). In zsh, the folder belongs into
    fpath before compinit. Connections and revocations are proposed if the API is configured and
    answers at once.
    """
    made = get_completion_class(shell)
    if made is None:
        raise click.UsageError(f"there is no completion for {shell}")
    click.echo(made(context.find_root().command, {}, _PROGRAM, VARIABLE).source())
