"""`control-plane sessions`: where one is signed in at the console, through the API."""

import click

from control_plane.commands.answers import SessionAnswer, SignedInAnswer
from control_plane.commands.api_client import ApiClient
from control_plane.commands.certainty import require_certainty, yes_option
from control_plane.commands.columns import Column, to_the_second
from control_plane.commands.printing import ListPrinter, print_items, print_value, wide
from control_plane.commands.running import command, say
from control_plane.commands.short_ids import short_ids
from control_plane.commands.usage import Group, require_no_contradiction
from control_plane.errors import NotFoundError
from control_plane.serving.config import ClientSettings
from control_plane.serving.environment import settings
from shared.output_form import OutputForm, output_form

_COLUMNS = (Column("ID"), Column("BEGAN"), Column("LAST USED"), Column("ENDS"))

_WHO = (Column("WHO", least=12), Column("SESSIONS"), Column("LAST USED"))

_of_operator = click.option(
    "--operator",
    metavar="NAME",
    help="Somebody else's, for admins: an operator, or a person of single sign-on (oidc:...).",
)


@click.group(cls=Group)
def sessions() -> None:
    """List and end sessions of the console: your own, or as an admin anybody's.

    Settings: CONTROL_PLANE_URL, CONTROL_PLANE_TOKEN, CONTROL_PLANE_CA_FILE.
    """


@sessions.command(
    "list",
    examples=("control-plane sessions list", "control-plane sessions list --operator alice"),
)
@_of_operator
@wide
@output_form
@command
async def list_sessions(*, operator: str | None, wide: bool, form: OutputForm | None) -> None:
    """List where you are signed in, the newest first."""
    async with ApiClient.open(settings(ClientSettings)) as api:
        pages = api.pages(SessionAnswer, *_path(operator))
        if form:
            await print_items((page.items async for page in pages), form)
            return
        printer = ListPrinter(wide=wide)
        async for page in pages:
            _print(page.items, printer, whole_ids=wide or not page.is_whole)
    printer.finish("There are no sessions that go on.")


@sessions.command(examples=("control-plane sessions who",))
@wide
@output_form
@command
async def who(*, wide: bool, form: OutputForm | None) -> None:
    """List who is signed in to the console, for admins: operators, and persons (oidc:...)."""
    async with ApiClient.open(settings(ClientSettings)) as api:
        pages = api.pages(SignedInAnswer, "signed-in")
        if form:
            await print_items((page.items async for page in pages), form)
            return
        printer = ListPrinter(wide=wide)
        async for page in pages:
            rows = [
                [each["name"], str(each["sessions"]), to_the_second(each["last_used_at"])]
                for each in page.items
            ]
            printer.print(_WHO, rows)
    printer.finish("Nobody is signed in.")


@sessions.command(
    examples=(
        "control-plane sessions end 3f2a1b4c",
        "control-plane sessions end --all",
        "control-plane sessions end --all --operator alice",
    )
)
@click.argument("session", required=False)
@click.option("--all", "is_all", is_flag=True, help="Every one that has begun.")
@_of_operator
@yes_option
@output_form
@command
async def end(
    session: str | None, *, is_all: bool, operator: str | None, yes: bool, form: OutputForm | None
) -> None:
    """End a SESSION, named by its id or an unambiguous beginning of that, or all of them.

    At a terminal it asks first.
    """
    require_no_contradiction(
        ["give a SESSION or --all" if (session is not None) == is_all else None]
    )
    path = _path(operator)
    async with ApiClient.open(settings(ClientSettings)) as api:
        ended = [] if session is None else [await _named(api, path, session)]
        whose = f" of {operator}" if operator else ""
        what = f"the session {ended[0]}{whose}" if ended else f"every session{whose}"
        told = "Whoever is signed in there has to sign in again."
        require_certainty([told], f"End {what}?", yes=yes)
        await api.call("DELETE", *path, *ended)
    if form:
        print_value({"operator": operator, "ended": ended[0] if ended else "all"}, form)
    say(f"{what} is ended")


def _path(operator: str | None) -> tuple[str, ...]:
    return ("operators", operator, "sessions") if operator else ("sessions",)


async def _named(api: ApiClient, path: tuple[str, ...], text: str) -> str:
    """Return the id of the session that is meant; raise `NotFoundError` or `click.UsageError`."""
    found = [view["id"] for view in await api.items(SessionAnswer, *path)]
    meant = [each for each in found if each.startswith(text.lower())]
    if not meant or not text:
        raise NotFoundError(f"no session {text} goes on; `control-plane sessions list` shows all")
    if len(meant) > 1:
        raise click.UsageError("\n".join([f"{text} may mean {len(meant)} sessions:", *meant]))
    return meant[0]


def _print(views: list[SessionAnswer], printer: ListPrinter, *, whole_ids: bool) -> None:
    ids = {} if whole_ids else short_ids([view["id"] for view in views])
    rows = [
        [
            ids.get(view["id"], view["id"]),
            to_the_second(view["began_at"]),
            to_the_second(view["last_used_at"]),
            to_the_second(view["ends_at"]),
        ]
        for view in views
    ]
    printer.print(_COLUMNS, rows)
