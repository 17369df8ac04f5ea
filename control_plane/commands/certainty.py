"""Asks before a command takes something from somebody: at a terminal; `--yes` answers.

Without a terminal nobody is asked, so scripts go on as they are. `apply --prune` alone wants --yes
there, because the files do not name what it revokes.
"""

import sys
from collections.abc import Iterable

import click

from control_plane.commands.running import asking, fail, say

yes_option = click.option(
    "--yes", is_flag=True, help="Do not ask. Without a terminal nobody is asked."
)


def is_asked(*, yes: bool) -> bool:
    """Tell whether somebody is at a terminal who has not answered already."""
    return not yes and sys.stdin.isatty()


def require_certainty(told: Iterable[str], question: str, *, yes: bool) -> None:
    """Say what would end and ask; exit with 1, and nothing changed, unless the answer is yes."""
    if not is_asked(yes=yes):
        return
    for line in told:
        say(line)
    with asking():
        is_certain = click.confirm(question, err=True)
    if not is_certain:
        fail("nothing was changed")
