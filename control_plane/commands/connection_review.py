"""`control-plane connections review`: what would be approved, against what serves."""

from collections.abc import Iterator

import click

from control_plane.commands.answers import ReviewAnswer
from control_plane.commands.api_client import ApiClient
from control_plane.commands.connection_list import place_of
from control_plane.commands.connection_options import connection_name
from control_plane.commands.named_connection import named_connection
from control_plane.commands.printing import print_value, terminal_width
from control_plane.commands.review_text import print_review
from control_plane.commands.running import command, say
from control_plane.commands.usage import Command
from control_plane.serving.config import ClientSettings
from control_plane.serving.environment import settings
from shared.output_form import OutputForm, output_form


@click.command(cls=Command, examples=("control-plane connections review ghcr.io",))
@connection_name
@output_form
@command
async def review(name: str, *, form: OutputForm | None) -> None:
    """Show what would be approved, line by line against what serves.

    Also what stands out and what it means, and the fingerprint with twelve words to compare by
    voice. A terminal of 100 columns or more has both sides beside one another.
    """
    async with ApiClient.open(settings(ClientSettings)) as api:
        connection_id = await named_connection(api, name)
        shown = await api.answer(ReviewAnswer, "GET", "connections", connection_id, "review")
    if form:
        print_value(shown, form)
        return
    print_review(shown, terminal_width())
    say("")
    for line in approval_steps(shown):
        say(line)


def approval_steps(shown: ReviewAnswer) -> Iterator[str]:
    """Yield the command that approves what was shown, or why the caller cannot."""
    if shown["refusal"]:
        yield f"You cannot approve it: {shown['refusal']}."
        yield "Another approver can, with:"
    else:
        yield "If the fingerprint is the one that you were told, approve it:"
    present = shown["approved"]
    ends_at = present["expires_at"] if present else None
    end = " --keep-expiry" if ends_at else ""
    approve = f"control-plane connections approve {place_of(shown)}"
    despite = " --despite-send-back" if shown["sent_back"] else ""
    yield f"  {approve} --fingerprint {shown['fingerprint']}{end}{despite}"
    if ends_at:
        yield f"The present approval ends at {ends_at}; --expires 90d says another."
