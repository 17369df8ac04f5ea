"""A browser for each file of tests, and a control plane with nothing in it."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from deploy.dev.postgres import Postgres
from tests.support.browser import chromium, meanwhile
from tests.support.control_plane import (
    LOGIN_PASSWORD,
    LOGIN_ROLE,
    ControlPlane,
    KeyFiles,
    copy_of,
)


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
