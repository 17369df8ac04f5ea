"""Connections and revocations whose names a shell proposes while one is typed.

Nobody waits for that: if the API is not configured, refuses, or does not answer at once, nothing is
proposed, and nothing is said.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

import click
from click.shell_completion import CompletionItem

from control_plane.commands.answers import NamedPlaceAnswer, RevocationAnswer
from control_plane.commands.api_client import ApiClient
from control_plane.commands.columns import one_line
from control_plane.commands.connection_list import place_of
from control_plane.commands.revocation_list import name_of
from control_plane.connections.state import Status
from control_plane.errors import ControlPlaneError
from control_plane.serving.config import ClientSettings
from control_plane.serving.environment import settings
from shared.environment import ConfigurationError

PROPOSAL_SECONDS: Final = 2.0  # a person waits for a key that was pressed
PROPOSED_ITEMS: Final = 200  # a page: more are no help

_Answer = TypeVar("_Answer", NamedPlaceAnswer, RevocationAnswer)
Names = Callable[[_Answer], Iterator[tuple[str, str]]]


def propose_connections(
    context: click.Context,  # noqa: ARG001 - click's signature
    parameter: click.Parameter,  # noqa: ARG001 - click's signature
    incomplete: str,
) -> list[CompletionItem]:
    """Return the connections, by their places or, where an id is begun, by their ids."""
    return _proposed(NamedPlaceAnswer, "connections", incomplete, _connection_names)


def propose_revocations(
    context: click.Context,  # noqa: ARG001 - click's signature
    parameter: click.Parameter,  # noqa: ARG001 - click's signature
    incomplete: str,
) -> list[CompletionItem]:
    """Return the revocations in force, by device or serial, or where an id is begun by that."""
    return _proposed(RevocationAnswer, "device-revocations", incomplete, _revocation_names)


def _connection_names(view: NamedPlaceAnswer) -> Iterator[tuple[str, str]]:
    if view["status"] != Status.REVOKED:
        yield place_of(view), view["status"]
    yield view["id"], f"{place_of(view)}, {view['status']}"


def _revocation_names(view: RevocationAnswer) -> Iterator[tuple[str, str]]:
    yield name_of(view), view["reason"] or "revoked"
    yield view["id"], name_of(view)


def _proposed(
    expected: type[_Answer], path: str, incomplete: str, names: Names[_Answer]
) -> list[CompletionItem]:
    try:
        views = asyncio.run(_first_page(expected, path))
    except (ControlPlaneError, ConfigurationError, TimeoutError):
        return []
    fitting = {
        name: said
        for view in views
        for name, said in names(view)
        # With nothing typed yet, an id beside its name would show everything twice.
        if name.startswith(incomplete) and (incomplete or name != view["id"])
    }
    return [CompletionItem(one_line(name), help=one_line(said)) for name, said in fitting.items()]


async def _first_page(expected: type[_Answer], path: str) -> list[_Answer]:
    async with (
        asyncio.timeout(PROPOSAL_SECONDS),
        ApiClient.open(settings(ClientSettings)) as api,
    ):
        async for page in api.pages(expected, path, query={"limit": str(PROPOSED_ITEMS)}):
            return page.items
    return []
