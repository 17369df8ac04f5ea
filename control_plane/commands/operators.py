"""`control-plane operators`: who may call the API. Needs the database and the statement key."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeVar

import click

from control_plane.clock import now
from control_plane.commands.certainty import require_certainty, yes_option
from control_plane.commands.columns import PROBLEM, Column
from control_plane.commands.lifetime import LifetimeType
from control_plane.commands.printing import ListPrinter, print_document, print_value, wide
from control_plane.commands.running import (
    command,
    say,
    shell_actor,
    signer_of,
    warn_of_exposure,
)
from control_plane.commands.usage import Group, require_no_contradiction
from control_plane.commands.watching import changed_items, until_interrupted, watch
from control_plane.database.database import Database
from control_plane.operators.last_uses import fetch_last_uses
from control_plane.operators.operator_token import (
    InvalidOperatorNameError,
    OperatorName,
)
from control_plane.operators.operators import (
    DEFAULT_LIFETIME,
    IssuedToken,
    ListedOperator,
    Operators,
)
from control_plane.operators.permissions import Role
from control_plane.operators.person import InvalidPersonError, Person
from control_plane.proof.audit_chain import AuditChain
from control_plane.proof.belief import HighestGenerations
from control_plane.serving.config import OperatorsSettings
from control_plane.serving.environment import settings
from shared.canonical_json import format_time
from shared.output_form import OutputForm, output_form

Function = TypeVar("Function", bound=Callable[..., Any])


class NameType(click.ParamType[OperatorName]):
    """An operator's name."""

    name = "name"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> OperatorName:
        """Return the name."""
        try:
            return OperatorName.parse(str(value))
        except InvalidOperatorNameError as error:
            self.fail(str(error), param, ctx)


class PersonType(click.ParamType[Person]):
    """A person of single sign-on."""

    name = "oidc:issuer:sub"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Person:
        """Return the person."""
        try:
            return Person.parse(str(value))
        except InvalidPersonError as error:
            self.fail(str(error), param, ctx)


def _expires(function: Function) -> Function:
    """Add the two options for a token's end; `_lifetime` reads them."""
    ends = click.option(
        "--expires",
        type=LifetimeType(),
        help=f"For how long the token is good, as 90d. [default: {DEFAULT_LIFETIME.days}d]",
    )
    never = click.option("--no-expiry", is_flag=True, help="It ends only by rotate or remove.")
    return ends(never(function))


def _lifetime(expires: timedelta | None, *, no_expiry: bool) -> timedelta | None:
    """Return how long a token is valid; None is for ever, which has to be asked for."""
    both = expires is not None and no_expiry
    require_no_contradiction(["--expires and --no-expiry: give one of them" if both else None])
    return None if no_expiry else expires or DEFAULT_LIFETIME


@click.group(cls=Group)
def operators() -> None:
    """Add, list, rotate and remove those who may call the API.

    Without the API, beside the database and with the statement key; an admin does the same in the
    console.

    Settings: CONTROL_PLANE_DATABASE_URL, CONTROL_PLANE_STATEMENT_PRIVATE_KEY_FILE.
    """


_whose = click.option(
    "--person",
    type=PersonType(),
    help="Whose token it is, as single sign-on knows them: with both, one human counts once where a"
    " second approver is required.",
)


@operators.command(
    examples=(
        "control-plane operators add alice --role connector --expires 90d",
        "control-plane operators add ci --role viewer --no-expiry",
    )
)
@click.argument("name", type=NameType())
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True)
@_whose
@_expires
@output_form
@command
async def add(
    name: OperatorName,
    role: str,
    person: Person | None,
    expires: timedelta | None,
    *,
    no_expiry: bool,
    form: OutputForm | None,
) -> None:
    """Make an operator and print the new API token, once, alone on standard output."""
    lifetime = _lifetime(expires, no_expiry=no_expiry)
    async with _operators() as store:
        token = await store.add(
            name, Role(role), lifetime=lifetime, actor=shell_actor(), person=person
        )
    _print(token, form)


@operators.command(examples=("control-plane operators rotate alice --expires 90d",))
@click.argument("name", type=NameType())
@_whose
@_expires
@output_form
@command
async def rotate(
    name: OperatorName,
    person: Person | None,
    expires: timedelta | None,
    *,
    no_expiry: bool,
    form: OutputForm | None,
) -> None:
    """Print a new token; the present one is worth nothing from now on."""
    lifetime = _lifetime(expires, no_expiry=no_expiry)
    async with _operators() as store:
        token = await store.rotate(name, lifetime=lifetime, actor=shell_actor(), person=person)
    _print(token, form)
    say("From now on the token before it lets nobody in.")


@operators.command(examples=("control-plane operators remove alice",))
@click.argument("name", type=NameType())
@yes_option
@output_form
@command
async def remove(name: OperatorName, *, yes: bool, form: OutputForm | None) -> None:
    """Remove an operator: from now on nobody is let in with their token.

    At a terminal it asks first.
    """
    told = f"From now on the token of {name} lets nobody in, and their sessions end."
    require_certainty([told], f"Remove {name}?", yes=yes)
    async with _operators() as store:
        await store.remove(name, actor=shell_actor())
    if form:
        print_value({"name": name.value, "removed": True}, form)
    say(f"{name} may call no longer; what {name} approved goes on serving")


@operators.command("list", examples=("control-plane operators list --wide",))
@wide
@watch
@output_form
@command
async def list_operators(*, wide: bool, watch: bool, form: OutputForm | None) -> None:
    """Show who may call, and rows in the database that are not believed."""
    printer = ListPrinter(wide=wide)
    async with _operators() as store:
        if watch:
            await until_interrupted(_watch_list(store, printer, form))
            return
        views = await _used(store, await _views(store))
    if form:
        print_value(views, form)
    else:
        _print_operators(views, printer)
        printer.finish("There are no operators.")


async def _watch_list(store: Operators, printer: ListPrinter, form: OutputForm | None) -> None:
    async for views in changed_items(lambda: _views(store), lambda view: str(view["name"])):
        if form is None:
            _print_operators(views, printer)
            continue
        for view in views:
            print_document(view, form)


async def _views(store: Operators) -> list[dict[str, str | None]]:
    return [_view(operator) for operator in await store.list()]


async def _used(
    store: Operators, views: Sequence[dict[str, str | None]]
) -> list[dict[str, str | None]]:
    """Return the views with the last use of each; a list that is watched would change by that."""
    used = await fetch_last_uses(store.database, [str(view["name"]) for view in views])
    told = {name: format_time(at) for name, at in used.items()}
    return [view | {"last_used_at": told.get(str(view["name"]))} for view in views]


def _print_operators(views: Sequence[Mapping[str, str | None]], printer: ListPrinter) -> None:
    columns = {"name": Column("NAME"), "role": Column("ROLE"), "expires_at": Column("EXPIRES")}
    if printer.wide:
        columns |= {"issued_by": Column("ISSUED BY"), "issued_at": Column("ISSUED")}
    if printer.wide and any(view.get("last_used_at") for view in views):
        columns["last_used_at"] = Column("LAST USED")
    if printer.wide and any(view["person"] for view in views):
        columns["person"] = Column("PERSON", least=12)
    if any(view["problem"] for view in views):
        columns["problem"] = PROBLEM
    printer.print([*columns.values()], [[view[name] for name in columns] for view in views])


def _print(token: IssuedToken, form: OutputForm | None) -> None:
    made = token.operator
    until = f"until {format_time(made.expires_at)}" if made.expires_at else "without an end"
    say(f"{made.name} may call as {made.role} {until}.")
    say("This token is shown once and kept nowhere; only its hash is stored.")
    if form:
        print_value(_view(made) | {"token": token.secret.reveal_text()}, form)
    else:
        click.echo(token.secret.reveal_text())
    say("Commands and API clients take it from CONTROL_PLANE_TOKEN, or CONTROL_PLANE_TOKEN_FILE;")
    say("the console's sign-in page takes it too.")


def _view(operator: ListedOperator) -> dict[str, str | None]:
    return {
        "name": operator.name,
        "role": operator.role,
        "issued_by": operator.issued_by,
        "issued_at": format_time(operator.issued_at) if operator.issued_at else None,
        "expires_at": format_time(operator.expires_at) if operator.expires_at else None,
        "person": operator.person,
        "problem": operator.problem,
    }


@asynccontextmanager
async def _operators() -> AsyncIterator[Operators]:
    configured = settings(OperatorsSettings)
    warn_of_exposure("database_url", configured.database_url)
    signer = signer_of(configured)
    async with Database.open(configured.database_url) as database:
        chain = AuditChain(database, signer, HighestGenerations(), now)
        await chain.load()
        yield Operators(chain)
