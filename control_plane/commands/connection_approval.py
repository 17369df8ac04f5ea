"""`control-plane connections approve|send-back`: what an approver says to a draft."""

import sys
from typing import Any

import click

from control_plane.commands.answers import ConnectionAnswer, ExpiryAnswer, ReviewAnswer
from control_plane.commands.api_client import ApiClient, Json
from control_plane.commands.approval_end import END_OPTIONS, ChosenEnd, end_options
from control_plane.commands.connection_options import connection_name
from control_plane.commands.connection_output import show_state
from control_plane.commands.named_connection import named_connection
from control_plane.commands.printing import terminal_width
from control_plane.commands.review_text import print_review
from control_plane.commands.running import asking, command, fail, say
from control_plane.commands.usage import Command
from control_plane.serving.config import ClientSettings
from control_plane.serving.environment import settings
from shared.output_form import OutputForm, output_form


def _require_fingerprint(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> str | None:
    """Refuse a call without a fingerprint if there is no terminal to ask at."""
    if value is None and not sys.stdin.isatty():
        told = "Without a terminal nobody is asked; `control-plane connections review` prints it"
        raise click.MissingParameter(told, ctx, param)
    return value


def _asked_comment(ctx: click.Context, param: click.Parameter, value: str | None) -> str:
    """Return the comment; at a terminal it is asked for, elsewhere the option says it."""
    if value is not None:
        return value
    if not sys.stdin.isatty():
        raise click.MissingParameter("Without a terminal nobody is asked", ctx, param)
    return str(click.prompt("Why is it sent back?", err=True))


@click.command(
    cls=Command,
    examples=(
        "control-plane connections approve ghcr.io",
        "control-plane connections approve ghcr.io --fingerprint sha256:… --expires 90d",
    ),
)
@connection_name
@click.option(
    "--fingerprint",
    callback=_require_fingerprint,
    help="Of what was seen, as `review` prints it. At a terminal that is shown and asked about.",
)
@end_options
@click.option("--despite-send-back", is_flag=True, help="Approve a draft that was sent back.")
@output_form
@command
async def approve(
    name: str,
    fingerprint: str | None,
    *,
    despite_send_back: bool,
    form: OutputForm | None,
    **options: Any,
) -> None:
    """Approve the draft that was seen; without a draft, approve what serves once more.

    The latter renews an approval, or changes when it ends. If the present approval has an end, say
    when the new one ends.
    """
    end = ChosenEnd.of(options)
    async with ApiClient.open(settings(ClientSettings)) as api:
        connection_id = await named_connection(api, name)
        present: ExpiryAnswer | None = None
        if end.keep_expiry:
            present = await api.answer(ExpiryAnswer, "GET", "connections", connection_id)
        if fingerprint is None:
            shown = await api.answer(ReviewAnswer, "GET", "connections", connection_id, "review")
            fingerprint = _asked(shown, says_end=bool(end.given))
            despite_send_back = despite_send_back or shown["sent_back"] is not None
        body: Json = {"fingerprint": fingerprint} | end.body(present)
        if despite_send_back:
            body["despite_send_back"] = True
        view = await api.answer(
            ConnectionAnswer, "POST", "connections", connection_id, "approve", body=body
        )
    show_state(view, form=form)


@click.command(
    "send-back",
    cls=Command,
    examples=("control-plane connections send-back ghcr.io --comment 'which fleets?'",),
)
@connection_name
@click.option("--comment", callback=_asked_comment, help="Why, for whoever made the draft.")
@click.option("--fingerprint", help="Of the draft that was seen; another one is not sent back.")
@output_form
@command
async def send_back(
    name: str, comment: str, fingerprint: str | None, *, form: OutputForm | None
) -> None:
    """Tell who made the draft why it is not approved; the draft stays, an edit of it answers."""
    async with ApiClient.open(settings(ClientSettings)) as api:
        connection_id = await named_connection(api, name)
        body = {"comment": comment} | ({"fingerprint": fingerprint} if fingerprint else {})
        view = await api.answer(
            ConnectionAnswer, "POST", "connections", connection_id, "send-back", body=body
        )
    show_state(view, form=form)


def _asked(shown: ReviewAnswer, *, says_end: bool) -> str:
    """Show the review; return its fingerprint if the person approves it, else exit with 1."""
    print_review(shown, terminal_width(), stderr=True)
    say("")
    if shown["refusal"]:
        fail(f"nothing was approved: {shown['refusal']}")
    end = shown["approved"]["expires_at"] if shown["approved"] else None
    if end and not says_end:
        options = ", ".join(END_OPTIONS.values())
        raise click.UsageError(
            f"the present approval ends at {end}: say when this one does, with one of {options}"
        )
    what = "this" if shown["is_draft"] else "what serves once more"
    with asking():
        is_approved = click.confirm(f"Approve {what}?", err=True)
    if not is_approved:
        fail("nothing was approved")
    return shown["fingerprint"]
