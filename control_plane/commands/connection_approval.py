"""`control-plane connections approve`: a draft serves, or what serves is approved once more."""

from datetime import timedelta
from typing import Any, Final

import click

from control_plane.api_client import ApiClient, Json
from control_plane.clock import now
from control_plane.commands.connection_options import as_json, connection_name
from control_plane.commands.lifetime import LifetimeType
from control_plane.commands.named_connection import named_connection
from control_plane.commands.printing import show_view
from control_plane.commands.running import command
from control_plane.commands.usage import Command
from control_plane.config import ClientSettings
from control_plane.environment import settings
from shared.canonical_json import format_time

_ENDS: Final = {
    "expires_at": "--expires-at",
    "lifetime": "--expires",
    "no_expiry": "--no-expiry",
    "keep_expiry": "--keep-expiry",
}


@click.command(cls=Command)
@connection_name
@click.option("--fingerprint", required=True, help="Of the draft, as `show` printed it.")
@click.option("--expires-at", help="When the approval ends, as 2030-01-31T12:00:00Z.")
@click.option("--expires", "lifetime", type=LifetimeType(), help="For how long it holds, as 90d.")
@click.option("--no-expiry", is_flag=True, help="It ends only by a revocation.")
@click.option("--keep-expiry", is_flag=True, help="It ends when the present approval does.")
@as_json
@command
async def approve(name: str, fingerprint: str, *, as_json: bool, **end: Any) -> None:
    """Let the draft that was seen serve, or without a draft approve what serves once more.

    That renews an approval, or changes when it ends. If the present approval ends at some time,
    say when the new one does.
    """
    given = [option for name, option in _ENDS.items() if end[name]]
    if len(given) > 1:
        raise click.UsageError(f"give one of {', '.join(given)}")
    async with ApiClient.open(settings(ClientSettings)) as api:
        connection_id = await named_connection(api, name)
        body = {"fingerprint": fingerprint} | await _end(api, connection_id, **end)
        view = await api.call("POST", "connections", connection_id, "approve", body=body)
    show_view(view, as_json=as_json)


async def _end(
    api: ApiClient,
    connection_id: str,
    *,
    expires_at: str | None,
    lifetime: timedelta | None,
    no_expiry: bool,
    keep_expiry: bool,
) -> Json:
    """Return what an approval's body says of its end; nothing, where nothing was said."""
    if keep_expiry:
        present = await api.call("GET", "connections", connection_id)
        return {"expires_at": present["expires_at"]}
    if lifetime is not None:
        return {"expires_at": format_time(now() + lifetime)}
    if expires_at is None and not no_expiry:
        return {}
    return {"expires_at": expires_at}
