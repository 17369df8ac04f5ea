"""`control-plane devices`: revoking devices and lifting that, from a shell, through the API."""

from typing import Final

import click
import orjson

from control_plane.api_client import ApiClient, Json
from control_plane.commands.connection_options import as_json
from control_plane.commands.running import command, print_table, say, show_view
from control_plane.config import ClientSettings
from control_plane.environment import settings

_PATH: Final = "device-revocations"


@click.group()
def devices() -> None:
    """Revoke devices, list the revocations in force, and lift them, through the API.

    Settings: CONTROL_PLANE_URL, CONTROL_PLANE_TOKEN, CONTROL_PLANE_CA_FILE.
    """


@devices.command()
@click.argument("device", required=False)
@click.option("--serial", help="One certificate, by its serial number in hexadecimal.")
@click.option("--issuer", help="With --serial: of this issuer alone, as RFC 4514.")
@click.option("--reason", default="", help="For people; stays in the audit log.")
@as_json
@command
async def revoke(
    device: str | None, serial: str | None, issuer: str | None, reason: str, *, as_json: bool
) -> None:
    """Serve a DEVICE no longer, by the id in its certificate, or one certificate by its serial.

    New requests are refused and running streams cut within a second. What is revoked already
    stays as it was.
    """
    if (device is None) == (serial is None):
        raise click.UsageError("give a DEVICE or --serial")
    given = {"device": device, "serial": serial, "issuer": issuer, "reason": reason}
    body: Json = {name: value for name, value in given.items() if value}
    async with ApiClient.open(settings(ClientSettings)) as api:
        view = await api.call("POST", _PATH, body=body)
    show_view(view, as_json=as_json)


@devices.command("list")
@click.argument("device", required=False)
@click.option("--serial", help="Of one certificate, as it was revoked.")
@click.option("--issuer", help="With --serial.")
@as_json
@command
async def list_revocations(
    device: str | None, serial: str | None, issuer: str | None, *, as_json: bool
) -> None:
    """List every revocation in force, or the one of a DEVICE or certificate."""
    about = {"device": device, "serial": serial, "issuer": issuer}
    query = {name: value for name, value in about.items() if value}
    async with ApiClient.open(settings(ClientSettings)) as api:
        items = await api.items(_PATH, query=query)
    if as_json:
        click.echo(orjson.dumps(items))
        return
    columns = ("id", "device", "serial", "issuer", "revoked by", "at", "reason", "problem")
    print_table(columns, (_row(view) for view in items))


@devices.command()
@click.argument("revocation_id", metavar="ID")
@as_json
@command
async def lift(revocation_id: str, *, as_json: bool) -> None:
    """Serve a device again: lift the revocation of this ID."""
    async with ApiClient.open(settings(ClientSettings)) as api:
        view = await api.call("GET", _PATH, revocation_id)
        await api.call("DELETE", _PATH, revocation_id)
    show_view(view, as_json=as_json)
    say("This revocation is lifted.")


def _row(view: Json) -> tuple[str | None, ...]:
    names = ("id", "device", "serial", "issuer", "revoked_by", "revoked_at", "reason", "problem")
    return tuple(view[name] for name in names)
