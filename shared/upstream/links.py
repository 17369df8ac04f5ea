"""`Link` headers (RFC 8288 section 3), read as far as they can be read. Pure.

    Link       = #link-value
    link-value = "<" URI-Reference ">" *( OWS ";" OWS [ link-param ] )
    link-param = token BWS [ "=" BWS ( token / quoted-string ) ]

What does not fit is neither guessed at nor passed over silently: `is_readable` tells. So nobody
takes a header that was not understood for one that says nothing.
"""

import re
from collections.abc import Sequence
from typing import Final

from attrs import frozen

_SEPARATOR: Final = re.compile(r"[ \t]*(?:,[ \t]*)*")
_TARGET: Final = re.compile(r"<([^<>]*)>")
_PARAMETER: Final = re.compile(
    r"[ \t]*;[ \t]*(?:(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*"
    r'(?:=[ \t]*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^ \t;,"<>]+)))?)?'
)
_END: Final = re.compile(r"[ \t]*(?:,|\Z)")
_QUOTED_PAIR: Final = re.compile(r"\\(.)")


@frozen
class Link:
    """A target as it is written, and its relations to the page in lower case."""

    target: str
    relations: frozenset[str]
    anchor: str | None = None  # the page that it is about, if it is another one


@frozen
class Links:
    """The links of an answer. `is_readable`: its headers hold nothing else."""

    links: tuple[Link, ...]
    is_readable: bool


def read_links(headers: Sequence[str]) -> Links:
    """Return the links of every `Link` header, in order."""
    links: list[Link] = []
    is_readable = True
    for header in headers:
        is_readable = _read(header, links) and is_readable
    return Links(tuple(links), is_readable)


def _read(header: str, links: list[Link]) -> bool:
    """Add the links of one header; tell whether all of it was read.

    After something unreadable it goes on at the next target, which may be the wanted one.
    """
    is_readable = True
    position = _skip_separators(header, 0)
    while position < len(header):
        target = _TARGET.match(header, position)
        if target is None:
            is_readable = False
            position = _next_target(header, position)
            continue
        parameters, position = _parameters(header, target.end())
        # Section 3.3: a link has a `rel`, and the first one counts.
        relations = frozenset(parameters.get("rel", "").lower().split())
        if relations:
            links.append(Link(target[1].strip(), relations, parameters.get("anchor")))
        is_readable = is_readable and bool(relations)
        if _END.match(header, position):
            position = _skip_separators(header, position)
        # otherwise there is no target here
    return is_readable


def _next_target(header: str, position: int) -> int:
    found = header.find("<", position + 1)
    return found if found >= 0 else len(header)


def _parameters(header: str, position: int) -> tuple[dict[str, str], int]:
    """Return the parameters behind a target, the first of each name, and where they end."""
    parameters: dict[str, str] = {}
    while parameter := _PARAMETER.match(header, position):
        position = parameter.end()
        if (name := parameter["name"]) is not None:
            quoted, bare = parameter["quoted"], parameter["bare"]
            value = bare if quoted is None else _QUOTED_PAIR.sub(r"\1", quoted)
            parameters.setdefault(name.lower(), value or "")
    return parameters, position


def _skip_separators(header: str, position: int) -> int:
    match = _SEPARATOR.match(header, position)
    return match.end() if match else position
