"""A browser for each file of tests, and a control plane with nothing in it."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser

from deploy.dev.postgres import Postgres
from deploy.dev.processes import free_port
from tests.support.browser import chromium, meanwhile
from tests.support.control_plane import (
    LOGIN_PASSWORD,
    LOGIN_ROLE,
    ControlPlane,
    KeyFiles,
    copy_of,
)
from tests.support.oidc_provider import OidcProvider
from tests.system.control_plane.conftest import start_on


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; each test makes a context of its own."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def empty_plane(
    postgres: Postgres, template: str, keys: KeyFiles, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ControlPlane]:
    """A control plane with alice, bob, root and eve, and nothing else; of one file's tests."""
    database = copy_of(postgres, template)
    started = meanwhile(
        ControlPlane.start(
            tmp_path_factory.mktemp("empty-plane"),
            owner_url=database.superuser_url,
            url=database.url(LOGIN_ROLE, LOGIN_PASSWORD),
            keys=keys,
        )
    )
    yield started
    started.stop()


class SignedOn(NamedTuple):
    """A control plane, and a certified provider of its persons."""

    plane: ControlPlane
    provider: OidcProvider


@pytest.fixture(scope="session")
def signed_on(
    postgres: Postgres, template: str, keys: KeyFiles, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SignedOn]:
    """One of each; the provider knows where the console is."""
    folder, port = tmp_path_factory.mktemp("console"), free_port()
    with OidcProvider.start(folder, console_url=f"http://127.0.0.1:{port}") as provider:
        database = copy_of(postgres, template)
        plane = meanwhile(start_on(database, keys, folder, provider.environment(), port=port))
        yield SignedOn(plane, provider)
        plane.stop()
