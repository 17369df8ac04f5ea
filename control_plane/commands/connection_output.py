"""What a command on a connection prints: the API's JSON, or its state and the next steps."""

import click

from control_plane.commands.answers import ConnectionAnswer
from control_plane.commands.check_words import NOT_ASKED, why_not_told
from control_plane.commands.connection_text import connection_lines, next_steps, state_line
from control_plane.commands.printing import print_value
from control_plane.commands.running import say
from shared.output_form import OutputForm
from shared.upstream.check import CheckOutcome


def show_connection(view: ConnectionAnswer, *, form: OutputForm | None) -> None:
    """Print everything that is known of a connection."""
    if form:
        print_value(view, form)
        return
    for line in connection_lines(view):
        click.echo(line)
    _say_next(view)


def show_state(view: ConnectionAnswer, *, form: OutputForm | None) -> None:
    """Print the state of a connection after an act."""
    if form:
        print_value(view, form)
        return
    click.echo(state_line(view))
    _say_next(view)


def show_made(view: ConnectionAnswer, *, form: OutputForm | None) -> None:
    """Print the state after an act, what was not checked, what a facade will refuse, and more.

    The next steps come last: whoever follows them has read the warnings.
    """
    if form:
        print_value(view, form)
    else:
        click.echo(state_line(view))
    _warn(view)
    if form is None:
        _say_next(view)


def _warn(view: ConnectionAnswer) -> None:
    made = view["draft"] or view
    check = made["check"]
    if check["outcome"] == CheckOutcome.SKIPPED and check["problem"] != NOT_ASKED:
        is_plain = made["plain_http"]
        say(f"WARNING: {why_not_told(view['host'], check['problem'], plain_http=is_plain)}")
    for note in made.get("notes", ()):
        say(f"WARNING: {note}.")


def _say_next(view: ConnectionAnswer) -> None:
    say("")
    for line in next_steps(view):
        say(line)
