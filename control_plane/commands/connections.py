"""`control-plane connections`: the API's use cases from a shell."""

import sys
from typing import Any, Final

import click
import orjson

from control_plane.api_client import ApiClient, Json
from control_plane.commands.running import command, fail, print_table, say
from control_plane.config import ClientSettings
from control_plane.environment import settings
from shared.sealed_secret import MAX_SECRET_BYTES
from shared.upstream.check import Outcome

PAGE_ITEMS: Final = "200"

_as_json = click.option("--json", "as_json", is_flag=True, help="Print the API's JSON.")


def _request_options(function: Any) -> Any:
    """Add the options that a new connection and a check share."""
    for option in reversed(
        (
            click.argument("host"),
            click.option("--provider", default="static", show_default=True),
            click.option("--username", help="Asks for the token, unless --token-stdin."),
            click.option("--token-stdin", is_flag=True, help="Read the token from standard input."),
            click.option("--prefix", "repository_prefix", help="Only repositories below this one."),
            click.option(
                "--repository",
                "repositories",
                multiple=True,
                metavar="PATTERN",
                help="May be served; repeatable. Default: all.",
            ),
            click.option(
                "--fleet", "fleets", multiple=True, help="May pull; repeatable. Default: all."
            ),
            click.option("--plain-http", is_flag=True, help="The registry has no TLS."),
            click.option(
                "--allow-network",
                "allowed_networks",
                multiple=True,
                metavar="CIDR",
                help="A private network that may be spoken to; repeatable.",
            ),
            click.option(
                "--ca-certificate", type=click.File("r"), help="PEM of the registry's CA."
            ),
            click.option(
                "--auth-realm",
                "auth_realms",
                multiple=True,
                metavar="URL",
                help="A token endpoint beside the registry's own; repeatable.",
            ),
        )
    ):
        function = option(function)
    return function


@click.group()
def connections() -> None:
    """Connect, list, show, approve, revoke and check registries, through the API.

    Settings: CONTROL_PLANE_URL, CONTROL_PLANE_TOKEN, CONTROL_PLANE_CA_FILE.
    """


@connections.command()
@_request_options
@click.option("--description", default="")
@click.option("--check/--no-check", default=True, help="Whether the registry is asked to log in.")
@_as_json
@command
async def add(*, check: bool, as_json: bool, token_stdin: bool, **options: Any) -> None:
    """Connect a registry; it waits for an approver."""
    async with ApiClient.open(settings(ClientSettings)) as api:
        view = await api.call(
            "POST",
            "connections",
            query={"check": str(check).lower()},
            body=_body(options, token_stdin=token_stdin),
        )
    _show(view, as_json=as_json)
    if not as_json:
        say("An approver lets it serve:")
        say(f"  control-plane connections approve {view['id']} --fingerprint {view['fingerprint']}")


@connections.command()
@_request_options
@_as_json
@command
async def check(*, as_json: bool, token_stdin: bool, **options: Any) -> None:
    """Ask a registry to log in, and store nothing; exits 1 if it refuses."""
    async with ApiClient.open(settings(ClientSettings)) as api:
        answer = await api.call(
            "POST", "connection-checks", body=_body(options, token_stdin=token_stdin)
        )
    _show(answer, as_json=as_json)
    if answer["outcome"] == Outcome.FAILED:
        fail("the registry did not accept this")


@connections.command("list")
@_as_json
@command
async def list_connections(*, as_json: bool) -> None:
    """List every connection, the revoked ones too."""
    items: list[Json] = []
    query = {"limit": PAGE_ITEMS}
    async with ApiClient.open(settings(ClientSettings)) as api:
        while True:
            page = await api.call("GET", "connections", query=query)
            items += page["items"]
            if page["next_cursor"] is None:
                break
            query["cursor"] = page["next_cursor"]
    if as_json:
        click.echo(orjson.dumps(items))
        return
    columns = ("id", "host", "prefix", "status", "as", "connected by", "approved by", "problem")
    print_table(columns, (_row(view) for view in items))


@connections.command()
@click.argument("connection_id", metavar="ID")
@_as_json
@command
async def show(connection_id: str, *, as_json: bool) -> None:
    """Show what an approver sees of a connection."""
    async with ApiClient.open(settings(ClientSettings)) as api:
        _show(await api.call("GET", "connections", connection_id), as_json=as_json)


@connections.command()
@click.argument("connection_id", metavar="ID")
@click.option("--fingerprint", required=True, help="Of the draft, as `show` printed it.")
@click.option("--expires-at", help="When the approval ends, as 2030-01-31T12:00:00Z.")
@_as_json
@command
async def approve(
    connection_id: str, fingerprint: str, expires_at: str | None, *, as_json: bool
) -> None:
    """Let the draft that was seen serve."""
    body = {"fingerprint": fingerprint} | ({"expires_at": expires_at} if expires_at else {})
    async with ApiClient.open(settings(ClientSettings)) as api:
        view = await api.call("POST", "connections", connection_id, "approve", body=body)
    _show(view, as_json=as_json)


@connections.command()
@click.argument("connection_id", metavar="ID")
@click.option("--reason", default="")
@_as_json
@command
async def revoke(connection_id: str, reason: str, *, as_json: bool) -> None:
    """End a connection for ever; devices are refused at once."""
    async with ApiClient.open(settings(ClientSettings)) as api:
        view = await api.call(
            "POST", "connections", connection_id, "revoke", body={"reason": reason}
        )
    _show(view, as_json=as_json)


def _row(view: Json) -> tuple[str | None, ...]:
    return (
        view["id"],
        view["host"],
        view["repository_prefix"],
        view["status"] + (" + draft" if view["draft"] else ""),
        "anonymous" if view["anonymous"] else view["username"],
        view["connected_by"],
        view["approved_by"],
        view["problem"],
    )


def _body(options: dict[str, Any], *, token_stdin: bool) -> Json:
    """Return the request's body out of the options that were given."""
    body: Json = {name: value for name, value in options.items() if value}
    if "ca_certificate" in body:
        body["ca_certificate"] = body["ca_certificate"].read()
    token = _token(token_stdin=token_stdin, wanted="username" in body)
    return body if token is None else body | {"token": token}


def _token(*, token_stdin: bool, wanted: bool) -> str | None:
    if not token_stdin:
        return click.prompt("Token", hide_input=True, err=True) if wanted else None
    try:
        content = sys.stdin.buffer.read(MAX_SECRET_BYTES + 2).decode()
    except UnicodeDecodeError:
        fail("standard input is not UTF-8 text")
    return content.removesuffix("\n").removesuffix("\r")


def _show(view: Json, *, as_json: bool) -> None:
    if as_json:
        click.echo(orjson.dumps(view))
        return
    shown = {name: value for name, value in view.items() if value not in (None, [], "")}
    texts = (
        (name, value if isinstance(value, str) else orjson.dumps(value).decode())
        for name, value in shown.items()
    )
    print_table(("field", "value"), texts)
