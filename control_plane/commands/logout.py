"""`control-plane logout`: the login that was kept is forgotten here, and at the provider."""

import asyncio

import click

from control_plane.commands.provider_login import ProviderLogin, ProviderLoginError
from control_plane.commands.running import command, say
from control_plane.commands.saved_login import login_store
from control_plane.commands.usage import Command
from control_plane.serving.config import ClientSettings
from control_plane.serving.environment import settings


@click.command(cls=Command, examples=("control-plane logout",))
@command
async def logout() -> None:
    """Forget what `control-plane login` got, here and at the provider."""
    configured = settings(ClientSettings)
    store = await asyncio.to_thread(login_store, configured.login_file)
    kept = await asyncio.to_thread(store.get, configured.url)
    if kept is None:
        say(f"Nobody is logged in to the control plane at {configured.url}.")
        return
    await asyncio.to_thread(store.put, configured.url, None)
    try:
        async with ProviderLogin.open(
            configured, kept.issuer, kept.client_id, kept.resource
        ) as provider:
            is_revoked = await provider.revoke(kept)
    except ProviderLoginError as error:
        say(f"warning: the provider was not told, so the login goes on there: {error}")
        is_revoked = True  # that was said
    if not is_revoked:
        say("warning: the provider cannot end logins of a shell: this one ends there by itself.")
    say("You are logged out here. Your browser may still be logged in at the provider.")
