"""`control-plane completion`: the words that a shell proposes while a line is typed."""

from typing import Final

import click
from click.shell_completion import BashComplete, ShellComplete, get_completion_class

from control_plane.commands.usage import Command
from control_plane.prefix import PREFIX

VARIABLE: Final = f"_{PREFIX}_COMPLETE"  # click's own name for it
_PROGRAM: Final = "control-plane"
SHELLS: Final = ("bash", "zsh", "fish")

# As click's, but for colons: bash breaks words at them (`registry.local:5000`, `serial:0a`). So the
# words are those between spaces, and what stands before the last colon is not proposed again.
_BASH: Final = """\
%(complete_func)s() {
    local IFS=$' \\t\\n' line="${COMP_LINE:0:COMP_POINT}" response current=
    local -a words
    read -ra words <<< "$line"
    local -i place=${#words[@]}-1
    if [[ $line == *[[:space:]] ]]; then place+=1; else current=${words[place]}; fi
    response=$(env COMP_WORDS="$line" COMP_CWORD=$place %(complete_var)s=bash_complete $1)
    IFS=$'\\n'
    for completion in $response; do
        IFS=',' read type value <<< "$completion"
        if [[ $type == 'dir' ]]; then
            COMPREPLY=()
            compopt -o dirnames
        elif [[ $type == 'file' ]]; then
            COMPREPLY=()
            compopt -o default
        elif [[ $type == 'plain' ]]; then
            COMPREPLY+=($value)
        fi
    done
    if [[ $current == *:* && $COMP_WORDBREAKS == *:* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${current%%"${current##*:}"}"}")
    fi
    return 0
}

%(complete_func)s_setup() {
    complete -o nosort -F %(complete_func)s %(prog_name)s
}

%(complete_func)s_setup;
"""


class BashWithColons(BashComplete):
    """Click's completion for bash, of words that have colons in them too."""

    source_template = _BASH


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

    For this shell alone: source <(control-plane completion bash), or of zsh behind its compinit; in
    fish, control-plane completion fish | source. For every zsh, the folder of the script belongs
    into fpath before compinit. Connections and revocations are proposed if the API is configured
    and answers at once.
    """
    made = _completion_class(shell)
    click.echo(made(context.find_root().command, {}, _PROGRAM, VARIABLE).source())


def _completion_class(shell: str) -> type[ShellComplete]:
    if shell == BashWithColons.name:
        return BashWithColons
    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"there is no completion for {shell}")
    return found
