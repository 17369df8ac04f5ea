"""`control-plane connections add|check|edit|rotate|discard`: what changes a connection."""

from typing import Any, Final

import click

from control_plane.commands.answers import CheckAnswer, ConnectionAnswer
from control_plane.commands.api_client import ApiClient
from control_plane.commands.certainty import is_asked, require_certainty, yes_option
from control_plane.commands.check_words import why_not_told
from control_plane.commands.connection_list import place_of
from control_plane.commands.connection_options import (
    check_first,
    connection_name,
    credential_body,
    credential_options,
    edit_body,
    edit_options,
    request_body,
    request_options,
)
from control_plane.commands.connection_output import show_made, show_state
from control_plane.commands.named_connection import named_connection
from control_plane.commands.printing import show_view
from control_plane.commands.running import command, fail, say
from control_plane.commands.usage import Command
from control_plane.connections.state import Status
from control_plane.serving.config import ClientSettings
from control_plane.serving.environment import settings
from shared.output_form import OutputForm, output_form
from shared.upstream.check import CheckOutcome
from shared.upstream.hosts import registry_host_from_people

NOT_TOLD_EXIT_CODE: Final = 3


@click.command(
    cls=Command,
    examples=(
        "control-plane connections add ghcr.io --username robot --token-stdin < token",
        "control-plane connections add docker.io --anonymous --repository 'library/*'",
        "control-plane connections add registry.local:5000 --anonymous --allow-network 10.0.0.0/8",
        "control-plane connections add us-docker.pkg.dev --service-account-key-file key.json",
        (
            "control-plane connections add 123456789012.dkr.ecr.eu-central-1.amazonaws.com"
            " --role-arn arn:aws:iam::123456789012:role/facade"
        ),
    ),
)
@request_options
@click.option("--description", default="")
@check_first
@output_form
@command
async def add(*, check: bool, form: OutputForm | None, **options: Any) -> None:
    """Connect a registry; it waits for an approver.

    At a terminal, the login is asked for if no option says it.
    """
    body = request_body(options, must_say_login=True)
    async with ApiClient.open(settings(ClientSettings)) as api:
        view = await api.answer(
            ConnectionAnswer, "POST", "connections", query=_query(check), body=body
        )
    show_made(view, form=form)


@click.command(
    cls=Command,
    examples=("control-plane connections check ghcr.io --username robot --token-stdin < token",),
)
@request_options
@click.option(
    "--try-repository", metavar="NAME", help="After the login, ask for this repository's tags, too."
)
@output_form
@command
async def check(*, try_repository: str | None, form: OutputForm | None, **options: Any) -> None:
    """Ask a registry to log in, and store nothing.

    It takes the options of `add`, so that the same line can be tried first. Those on scope, such as
    --repository, --fleet and --prefix, are checked for mistakes; the login does not depend on them.

    Exits with 1 if the registry refuses, and with 3 if the control plane cannot tell.
    """
    body = request_body(options)
    async with ApiClient.open(settings(ClientSettings)) as api:
        query = {"repository": try_repository} if try_repository else {}
        answer = await api.answer(CheckAnswer, "POST", "connection-checks", query=query, body=body)
    show_view(answer, form=form)
    match answer["outcome"]:
        case CheckOutcome.FAILED:
            fail("the registry did not accept this")
        case CheckOutcome.SKIPPED:
            host = str(registry_host_from_people(body["host"]))
            is_plain = bool(body.get("plain_http"))
            why = why_not_told(host, answer["problem"], plain_http=is_plain)
            say(f"could not tell: {why}")
            raise SystemExit(NOT_TOLD_EXIT_CODE)


@click.command(
    cls=Command,
    examples=(
        "control-plane connections edit ghcr.io --repository 'team/**' --fleet line-a",
        "control-plane connections edit ghcr.io --all-fleets",
    ),
)
@connection_name
@edit_options
@check_first
@output_form
@command
async def edit(name: str, *, check: bool, form: OutputForm | None, **options: Any) -> None:
    """Make or change the draft; what serves goes on serving until somebody approves it.

    A change of what decides who is shown the secret needs the secret again: --ask-token,
    --token-stdin or --service-account-key-file.
    """
    body = edit_body(options)
    if not body:
        raise click.UsageError("nothing to change; see --help")
    async with ApiClient.open(settings(ClientSettings)) as api:
        connection_id = await named_connection(api, name)
        view = await api.answer(
            ConnectionAnswer,
            "PATCH",
            "connections",
            connection_id,
            query=_query(check),
            body=body,
        )
    show_made(view, form=form)


@click.command(
    cls=Command,
    examples=(
        "control-plane connections rotate ghcr.io --token-stdin < token",
        "control-plane connections rotate gcr.io --service-account-key-file key.json --approve",
    ),
)
@connection_name
@credential_options
@click.option("--approve", is_flag=True, help="Let it serve at once; needs the role approver.")
@check_first
@output_form
@command
async def rotate(
    name: str, *, approve: bool, check: bool, form: OutputForm | None, **options: Any
) -> None:
    """Give a new secret; the old one serves until somebody approves the new one."""
    async with ApiClient.open(settings(ClientSettings)) as api:
        connection_id = await named_connection(api, name)
        present = await api.answer(ConnectionAnswer, "GET", "connections", connection_id)
        body = credential_body(options, (present["draft"] or present)["provider"])
        view = await api.answer(
            ConnectionAnswer,
            "PUT",
            "connections",
            connection_id,
            "credential",
            query=_query(check),
            body=body | ({"approve": True} if approve else {}),
        )
    show_made(view, form=form)


@click.command(cls=Command, examples=("control-plane connections discard ghcr.io",))
@connection_name
@yes_option
@output_form
@command
async def discard(name: str, *, yes: bool, form: OutputForm | None) -> None:
    """Discard the draft; a connection that was never approved ends with it.

    At a terminal it asks first.
    """
    async with ApiClient.open(settings(ClientSettings)) as api:
        connection_id = await named_connection(api, name)
        if is_asked(yes=yes):
            view = await api.answer(ConnectionAnswer, "GET", "connections", connection_id)
            place = place_of(view)
            ends = view["status"] == Status.PENDING
            told = (
                f"{place} was never approved, and ends with its draft."
                if ends
                else (
                    f"{place} goes on serving as it was approved; its draft ends, with its secret."
                )
            )
            require_certainty([told], f"Discard the draft of {place}?", yes=yes)
        await api.call("DELETE", "connections", connection_id, "draft")
        view = await api.answer(ConnectionAnswer, "GET", "connections", connection_id)
    show_state(view, form=form)


def _query(check: bool) -> dict[str, str]:  # noqa: FBT001 - the one thing that is asked
    return {"check": str(check).lower()}
