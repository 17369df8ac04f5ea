"""The access token of a login that was kept, renewed where it has ended."""

import asyncio
import time
from importlib import import_module
from typing import Final

from control_plane.commands.saved_login import (
    LoginStore,
    SavedLogin,
    login_store,
    only_one_refreshes,
)
from control_plane.prefix import PREFIX
from control_plane.serving.config import ClientSettings
from shared.environment import ConfigurationError
from shared.secret import Secret

ENDING_SECONDS: Final = 30.0  # an access token that ends so soon is renewed first


def _nobody(url: str) -> ConfigurationError:
    """Return what is missing: there is neither a token nor a login."""
    words = (
        f"{PREFIX}_TOKEN: required; expected an operator's token, or a login: nobody is logged in"
        f" to the control plane at {url}, and `control-plane login` logs you in by single sign-on"
    )
    return ConfigurationError([words])


async def kept_token(configured: ClientSettings) -> Secret:
    """Return the access token that `login` got, renewed if it has ended.

    Raises `ConfigurationError` if there is none, `SavedLoginError` and `ProviderLoginError`.
    """
    store = await asyncio.to_thread(login_store, configured.login_file)
    login = await asyncio.to_thread(store.get, configured.url)
    if login is None:
        raise _nobody(configured.url)
    if not _ends_soon(login):
        return login.access_token
    with only_one_refreshes(configured.login_file):
        return (await _renewed(configured, store)).access_token


async def _renewed(configured: ClientSettings, store: LoginStore) -> SavedLogin:
    """Renew the login, unless another process did while this one waited."""
    login = store.get(configured.url)
    if login is None:
        raise _nobody(configured.url)
    if not _ends_soon(login):
        return login
    # Imported here: it brings libraries of the provider's, and a token that holds needs none.
    provider_login = import_module("control_plane.commands.provider_login").ProviderLogin
    async with provider_login.open(
        configured, login.issuer, login.client_id, login.resource
    ) as provider:
        renewed: SavedLogin = await provider.renewed(login)
    store.put(configured.url, renewed)
    return renewed


def _ends_soon(login: SavedLogin) -> bool:
    return login.expires_at - ENDING_SECONDS <= time.time()
