"""A connection's history as people read it: each act in words, and what it changed. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from attrs import frozen

from control_plane.connections.revisions import COMMENT
from control_plane.console.act_words import words_of
from control_plane.reading.page import View
from control_plane.review.certificates import SYSTEM_ALONE, certificate_lines
from control_plane.review.document_lines import (
    ALL,
    IMPORTS,
    LINES,
    OWN_REALM_ALONE,
    PUBLIC_ALONE,
    REFERRERS,
    TRANSPORT,
)

_LABELS: Final = {line.name: line.label for line in LINES} | {
    "provider": "Provider",
    "anonymous": "Anonymous",
    "secret_version": "Secret, version",
    "sealing_key_id": "Sealing key",
    "description": "Description",
}
_EMPTY: Final = {  # what is meant where nothing is said
    "repositories": ALL,
    "fleets": ALL,
    "auth_realms": OWN_REALM_ALONE,
    "allowed_networks": PUBLIC_ALONE,
    "ca_certificate": SYSTEM_ALONE,
}
_SWITCHES: Final = {
    "plain_http": TRANSPORT,
    "pull_through_cache": IMPORTS,
    "referrers": REFERRERS,
}
_OBJECTS: Final = frozenset({"google", "ecr"})  # objects, whose fields are told apart


@frozen
class ShownChange:
    """A line that an act changed."""

    label: str
    before: tuple[str, ...]
    after: tuple[str, ...]


@frozen
class ShownAct:
    """An act in words; one that is not believed has a problem, and nothing else is known of it."""

    sequence: int
    at: str | None
    who: str
    what: str
    said: str
    changes: tuple[ShownChange, ...]
    problem: str | None


def shown_act(item: Mapping[str, Any]) -> ShownAct:
    """Return an act of the history's JSON form in words."""
    details = item.get("details") or {}
    action = item.get("action", "")
    return ShownAct(
        sequence=item["sequence"],
        at=item.get("at"),
        who=details.get("actor_name") or item.get("actor", ""),
        what=f"{words_of(action)} it",
        said=details.get(COMMENT) or details.get("reason") or "",
        changes=tuple(_changes(item.get("changes") or ())),
        problem=item.get("problem"),
    )


def _changes(changes: Any) -> Iterator[ShownChange]:
    for each in changes:
        name, before, after = each["field"], each.get("before"), each.get("after")
        if name in _OBJECTS:
            yield from _changes_within(_fields_of(before), _fields_of(after))
        else:
            yield ShownChange(_LABELS.get(name, name), _texts(name, before), _texts(name, after))


def _fields_of(value: object) -> View:
    return value if isinstance(value, dict) else {}


def _changes_within(before: View, after: View) -> Iterator[ShownChange]:
    for name in dict.fromkeys((*before, *after)):
        if before.get(name) != after.get(name):
            yield ShownChange(
                _LABELS.get(name, name),
                _texts(name, before.get(name)),
                _texts(name, after.get(name)),
            )


def _texts(name: str, value: Any) -> tuple[str, ...]:
    match value:
        case str() if name == "ca_certificate":
            return certificate_lines(value)
        case bool() | None if name in _SWITCHES:
            return (_SWITCHES[name][bool(value)],)
        case None | "" | []:
            return (_EMPTY.get(name, "none"),)
        case bool():
            return ("yes" if value else "no",)
        case list():
            return tuple(map(str, value))
        case _:
            return (str(value),)
