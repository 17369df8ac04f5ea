"""`control-plane login`: by single sign-on, with the browser of this machine or of another."""

import asyncio

import click

from control_plane.commands.answers import LoginAnswer, MeAnswer
from control_plane.commands.api_client import ApiClient
from control_plane.commands.provider_login import ProviderLogin, ProviderLoginWay
from control_plane.commands.running import command, say
from control_plane.commands.saved_login import SavedLogin, login_store
from control_plane.commands.usage import Command
from control_plane.serving.config import ClientSettings
from control_plane.serving.environment import settings


@click.command(
    cls=Command,
    examples=(
        "control-plane login",
        "control-plane login --no-browser",
        "control-plane login --device",
    ),
)
@click.option(
    "--device",
    is_flag=True,
    help="Log in with the browser of another machine, by a code that is shown here.",
)
@click.option("--no-browser", is_flag=True, help="Show the address, and open no browser.")
@command
async def login(*, device: bool, no_browser: bool) -> None:
    """Log in by single sign-on; other commands then need no CONTROL_PLANE_TOKEN.

    What the provider gives is kept in the keyring of this machine, or in a file that only you may
    read. `control-plane logout` ends it.
    """
    configured = settings(ClientSettings)
    async with ApiClient.anonymous(configured) as api:
        way = ProviderLoginWay.of_answer(
            await api.answer(LoginAnswer, "GET", "login"), configured.url
        )
        async with ProviderLogin.open(
            configured, way.issuer, way.client_id, way.resource
        ) as provider:
            if device:
                made = await provider.by_device(way.scopes, _show_code)
            else:
                made = await provider.by_browser(
                    way.scopes, lambda address: _show_address(address, opens=not no_browser)
                )
        api.calling_with(made.access_token, is_login=True)
        me = await api.answer(
            MeAnswer, "GET", "me"
        )  # whoever is nobody here is told so, and nothing is kept
        store = await asyncio.to_thread(login_store, configured.login_file)
        await asyncio.to_thread(store.put, configured.url, made)
    say(f"You are {me['display_name']} ({me['name']}), and may act as {me['role']}.")
    say(f"The login is kept in {store.place}{_until(made, me['expires_at'])}.")
    if configured.token is not None:
        say("Commands take CONTROL_PLANE_TOKEN as long as it is set, and not this login.")


def _until(made: SavedLogin, expires_at: str | None) -> str:
    if made.refresh_token is not None:
        return "; it is renewed without you as long as the provider allows it"
    return f", and ends at {expires_at}" if expires_at else ""


def _show_address(address: str, *, opens: bool) -> None:
    say("Log in with your browser at")
    click.echo(address, err=True)
    if opens and click.launch(address) != 0:
        say("No browser could be opened: open the address yourself, on this machine.")


def _show_code(address: str, code: str) -> None:
    say(f"Open {address} in a browser, and enter the code {code}")
    say(
        "Enter it only if it was you who began this login, here and now: whoever sends you a code"
        " is given your login."
    )
