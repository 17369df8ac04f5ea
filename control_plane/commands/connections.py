"""`control-plane connections`: the API's use cases from a shell."""

from collections.abc import AsyncIterator, Mapping

import click
import orjson
from attrs import define, evolve

from control_plane.commands.answers import (
    ConnectionAnswer,
    GrantAnswer,
    ListedConnectionAnswer,
    PlaceAnswer,
)
from control_plane.commands.api_client import ApiClient
from control_plane.commands.certainty import is_asked, require_certainty, yes_option
from control_plane.commands.connection_approval import approve, send_back
from control_plane.commands.connection_changes import add, check, discard, edit, rotate
from control_plane.commands.connection_history import history
from control_plane.commands.connection_list import (
    ConnectionsPage,
    one_page,
    place_of,
    print_connections,
)
from control_plane.commands.connection_options import connection_name
from control_plane.commands.connection_output import show_connection, show_state
from control_plane.commands.connection_review import review
from control_plane.commands.lifetime import EndType
from control_plane.commands.named_connection import named_connection
from control_plane.commands.printing import (
    ListPrinter,
    print_document,
    print_fields,
    print_items,
    print_value,
    wide,
)
from control_plane.commands.running import command, fail, say
from control_plane.commands.usage import Group
from control_plane.commands.watching import (
    changed_items,
    changed_value,
    until_interrupted,
    watch,
)
from control_plane.connections.state import Status
from control_plane.serving.config import ClientSettings
from control_plane.serving.environment import settings
from shared.connection import Provider
from shared.output_form import OutputForm, output_form


@click.group(cls=Group)
def connections() -> None:
    """Connect, list, show, approve, edit, revoke and check registries, through the API.

    A CONNECTION is named by its id, an unambiguous beginning of that, or HOST[/PREFIX].

    Settings: CONTROL_PLANE_URL, CONTROL_PLANE_TOKEN, CONTROL_PLANE_CA_FILE.
    """


for each in (add, check, edit, rotate, discard, review, approve, send_back, history):
    connections.add_command(each)


@connections.command(
    "list",
    examples=(
        "control-plane connections list",
        "control-plane connections list --status pending",
        "control-plane connections list --host ghcr.io",
        "control-plane connections list --expires-before 7d --wide",
        "control-plane connections list --all --wide",
    ),
)
@click.option(
    "--status", type=click.Choice([each.value for each in Status]), help="Of this status alone."
)
@click.option(
    "--provider",
    type=click.Choice([each.value for each in Provider]),
    help="Of this provider alone.",
)
@click.option("--host", help="Of this host alone, with whatever prefix.")
@click.option("--problem", is_flag=True, help="Those alone that have a problem.")
@click.option(
    "--expires-before",
    type=EndType(),
    help="Whose approval or credential ends before a time, or within 7d.",
)
@click.option("--search", help="A text in the host, the description or the login.")
@click.option("--all", "with_revoked", is_flag=True, help="The revoked ones too.")
@wide
@watch
@output_form
@command
async def list_connections(
    status: str | None,
    *,
    problem: bool,
    with_revoked: bool,
    wide: bool,
    watch: bool,
    form: OutputForm | None,
    **wanted: str | None,
) -> None:
    """List the connections that are not revoked, or those of a status.

    With --json, list all of them, as the API has them, unless --status is given.
    """
    if status and with_revoked:
        raise click.UsageError("give --status or --all, not both")
    query = {name: value for name, value in wanted.items() if value is not None}
    query |= {"problem": "true"} if problem else {}
    query |= {"status": status} if status else {}
    chosen = Chosen(with_revoked=with_revoked or form is not None or status is not None)
    async with ApiClient.open(settings(ClientSettings)) as api:
        if watch:
            await until_interrupted(_watch_list(api, query, chosen, ListPrinter(wide=wide), form))
            return
        pages = chosen.of(api.pages(ListedConnectionAnswer, "connections", query=query))
        if form:
            await print_items((page.items async for page in pages), form)
            return
        printer = ListPrinter(wide=wide)
        await print_connections(pages, printer)
    left_out = chosen.left_out
    of = f" of the status {status}" if status else " but revoked ones" if left_out else ""
    of += " that fit" if query.keys() - {"status"} else ""
    printer.finish(f"There are no connections{of}.")
    if left_out:
        say(f"{left_out} revoked {'one is' if left_out == 1 else 'ones are'} left out: --all")


async def _watch_list(
    api: ApiClient,
    query: Mapping[str, str],
    chosen: "Chosen",
    printer: ListPrinter,
    form: OutputForm | None,
) -> None:
    async def fetch() -> list[ListedConnectionAnswer]:
        pages = chosen.of(api.pages(ListedConnectionAnswer, "connections", query=query))
        return [view async for page in pages for view in page.items]

    async for views in changed_items(fetch, lambda view: f"{place_of(view)} ({view['id']})"):
        if form is None:
            await print_connections(one_page(views), printer)
            continue
        for view in views:
            print_document(view, form)


@define
class Chosen:
    """Leaves revoked connections out of pages unless they are wanted, and counts them."""

    _with_revoked: bool
    left_out: int = 0

    async def of(self, pages: AsyncIterator[ConnectionsPage]) -> AsyncIterator[ConnectionsPage]:
        """Yield the wanted connections of each page."""
        async for page in pages:
            yield evolve(page, items=[view for view in page.items if self._is_wanted(view)])

    def _is_wanted(self, view: ListedConnectionAnswer) -> bool:
        is_left_out = view["status"] == Status.REVOKED and not self._with_revoked
        self.left_out += is_left_out
        return not is_left_out


@connections.command(
    examples=(
        "control-plane connections show ghcr.io",
        "control-plane connections show 3f2a --json",
    )
)
@connection_name
@watch
@output_form
@command
async def show(name: str, *, watch: bool, form: OutputForm | None) -> None:
    """Show what an approver sees of a connection."""
    async with ApiClient.open(settings(ClientSettings)) as api:
        connection_id = await named_connection(api, name, reading=True)
        if watch:
            await until_interrupted(_watch_one(api, connection_id, form))
            return
        view = await api.answer(ConnectionAnswer, "GET", "connections", connection_id)
    show_connection(view, form=form)


async def _watch_one(api: ApiClient, connection_id: str, form: OutputForm | None) -> None:
    async for view in changed_value(
        lambda: api.answer(ConnectionAnswer, "GET", "connections", connection_id)
    ):
        if form is None:
            show_connection(view, form=None)
            say("")
        else:
            print_document(view, form)


@connections.command(
    examples=("control-plane connections revoke ghcr.io --reason 'contract ended'",)
)
@connection_name
@click.option("--reason", default="")
@yes_option
@output_form
@command
async def revoke(name: str, reason: str, *, yes: bool, form: OutputForm | None) -> None:
    """End a connection for ever; devices are refused at once. At a terminal it asks first."""
    async with ApiClient.open(settings(ClientSettings)) as api:
        connection_id = await named_connection(api, name)
        if is_asked(yes=yes):
            place = place_of(await api.answer(PlaceAnswer, "GET", "connections", connection_id))
            told = f"{place} ends for ever, and is refused to devices at once."
            require_certainty([told], f"Revoke {place}?", yes=yes)
        view = await api.answer(
            ConnectionAnswer,
            "POST",
            "connections",
            connection_id,
            "revoke",
            body={"reason": reason},
        )
    show_state(view, form=form)


@connections.command(
    examples=(
        "control-plane connections grant 123456789012.dkr.ecr.eu-central-1.amazonaws.com",
        "control-plane connections grant 3f2a --policy trust > trust.json",
    )
)
@connection_name
@click.option(
    "--policy",
    type=click.Choice(["trust", "permissions"]),
    help="Print this policy's JSON alone, to be piped into a file.",
)
@output_form
@command
async def grant(name: str, policy: str | None, *, form: OutputForm | None) -> None:
    """Show what to grant in the customer's cloud: ECR's two policies, or Google's roles."""
    async with ApiClient.open(settings(ClientSettings)) as api:
        connection_id = await named_connection(api, name, reading=True)
        answer = await api.answer(GrantAnswer, "GET", "connections", connection_id, "grant")
    if form:
        print_value(answer, form)
    elif policy is None:
        _show_grant(answer)
    elif (found := dict(answer).get(f"{policy}_policy")) is not None:
        _show_policy(found)
    else:
        fail("this connection's provider has no such policy")
    for note in answer["notes"]:
        say(f"Note: {note}.")


def _show_grant(answer: Mapping[str, object]) -> None:
    """Print what is granted to whom, and below it each policy, ready to paste."""
    policies = {name: value for name, value in answer.items() if name.endswith("_policy")}
    rest = answer.keys() - policies.keys() - {"notes"}
    print_fields({name: answer[name] for name in answer if name in rest})
    for name, policy in policies.items():
        click.echo(f"\n{name.replace('_', ' ').capitalize()}:")
        _show_policy(policy)


def _show_policy(policy: object) -> None:
    click.echo(orjson.dumps(policy, option=orjson.OPT_INDENT_2))
