"""Which connection a person means: by its id, an unambiguous beginning of it, or its host.

3f2a1b4c-...   the id
3f2a           its beginning, if no other connection's id begins so
ghcr.io/team   the place: the connection of this host and prefix that is not revoked
ghcr.io        the one of the whole host; else the only one of the host
"""

from typing import Final
from uuid import UUID

import click
from attrs import frozen

from control_plane.commands.answers import ListedConnectionAnswer
from control_plane.commands.api_client import ApiClient
from control_plane.commands.connection_list import candidate_lines
from control_plane.errors import NotFoundError
from control_plane.reading.texts import parse_id_beginning
from shared.oci import InvalidRepositoryNameError, RepositoryName
from shared.several_problems import problems_of
from shared.upstream.hosts import UnusableHostError, registry_host_from_reference

_PATH: Final = "connections"
_REVOKED: Final = "revoked"


@frozen
class TypedPlace:
    """`HOST` or `HOST/PREFIX`, as somebody typed it."""

    host: str
    prefix: str | None = None

    @classmethod
    def parse(cls, text: str) -> "TypedPlace":
        """Return the place; raise `UnusableHostError` or `InvalidRepositoryNameError`."""
        try:
            return cls(str(registry_host_from_reference(text)))
        except UnusableHostError:
            scheme, separator, rest = text.rpartition("://")
            host, slash, prefix = rest.partition("/")
            if not slash:
                raise
        name = RepositoryName.parse(prefix.strip("/"))
        return cls(str(registry_host_from_reference(scheme + separator + host)), str(name))

    def __str__(self) -> str:
        """Return the canonical text."""
        return self.host if self.prefix is None else f"{self.host}/{self.prefix}"

    def chosen_of(self, views: list[ListedConnectionAnswer]) -> list[ListedConnectionAnswer]:
        """Return those that are meant: of this very place, or without a prefix of the host."""
        exact = [view for view in views if view["repository_prefix"] == (self.prefix or "")]
        return exact if exact or self.prefix is not None else views


async def named_connection(api: ApiClient, text: str, *, reading: bool = False) -> str:
    """Return the id of the connection that is meant.

    With `reading`, a revoked one is meant if the place has no other. Raises `NotFoundError`, and
    `click.UsageError` if several may be meant or the text is no name.
    """
    if is_id(text):
        return text.lower()
    place, by_place = _place(text), list[ListedConnectionAnswer]()
    meant: dict[str, ListedConnectionAnswer] = {}
    if (beginning := id_beginning(text)) is not None:
        meant |= _by_id(await api.items(ListedConnectionAnswer, _PATH, query={"id": beginning}))
    if place is not None:
        by_place = await api.items(ListedConnectionAnswer, _PATH, query={"host": place.host})
        living = [view for view in by_place if view["status"] != _REVOKED]
        ended = [view for view in by_place if view["status"] == _REVOKED]
        chosen = place.chosen_of(living) or (place.chosen_of(ended)[-1:] if reading else [])
        meant |= _by_id(chosen)
    if len(meant) == 1:
        return next(iter(meant))
    if meant:
        found = f"{text} may mean {len(meant)} connections; give the id of one:"
        raise click.UsageError("\n".join([found, *candidate_lines([*meant.values()])]))
    message = f"there is no connection {text}; `control-plane connections list` shows all"
    if by_place:
        found = f"no connection {text} is there to be acted upon; its host has:"
        message = "\n".join([found, *candidate_lines(by_place)])
    raise NotFoundError(message)


def is_id(text: str) -> bool:
    """Tell whether a text is a whole id."""
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def id_beginning(text: str) -> str | None:
    """Return the beginning of an id; None if the text is none."""
    try:
        return parse_id_beginning(text)
    except ValueError:
        return None


def _place(text: str) -> TypedPlace | None:
    """Return the place; None if the text can only be an id's beginning; else exit with 2."""
    try:
        return TypedPlace.parse(text)
    except (UnusableHostError, InvalidRepositoryNameError) as error:
        if id_beginning(text) is not None:
            return None
        problems = "".join(f"\n  {problem}" for problem in problems_of(error))
        raise click.UsageError(
            f"this is no connection's id, nor HOST[/PREFIX]:{problems}"
        ) from None


def _by_id(views: list[ListedConnectionAnswer]) -> dict[str, ListedConnectionAnswer]:
    return {view["id"]: view for view in views}
