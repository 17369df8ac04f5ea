"""Several SELECTs in one statement, or several changes in one: a single round trip.

A statement sees the database at one moment, so what was read together belongs together.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

from attrs import field, frozen

from control_plane.database.database import DatabaseConnection

_PARAMETER: Final = re.compile(r"\$(\d+)")


class Row(Protocol):
    """A row, whose columns have names."""

    def __getitem__(self, name: str, /) -> Any:
        """Return a column's value."""


@frozen(eq=False)
class Part:
    """One SELECT of a read; its own first argument is `$1`, and no literal in it has a `$`."""

    columns: tuple[str, ...]  # the names of its columns, in the order of the SELECT
    select: str
    arguments: tuple[object, ...] = ()


@frozen
class RowChange:
    """An INSERT or UPDATE of an act; its own first argument is `$1`.

    The changes of an act are made by one statement: none sees what another does, and no two may
    change the same row.
    """

    statement: str
    arguments: tuple[object, ...] = field(repr=False)


async def fetch_parts(connection: DatabaseConnection, parts: Sequence[Part]) -> list[list[Row]]:
    """Return the rows of each part, in one round trip."""
    selects, arguments = _numbered((each.select, each.arguments) for each in parts)
    asked = ", ".join(
        f"ARRAY(SELECT ROW(p.*) FROM ({select}) AS p) AS part_{at}"  # noqa: S608 - constants
        for at, select in enumerate(selects)
    )
    (answer,) = await connection.fetch(f"SELECT {asked}", *arguments)
    return [
        [_row(part.columns, row) for row in rows] for part, rows in zip(parts, answer, strict=True)
    ]


def _row(columns: Sequence[str], values: Sequence[object]) -> Row:
    return dict(zip(columns, values, strict=True))


async def make_changes(connection: DatabaseConnection, changes: Sequence[RowChange]) -> None:
    """Make all changes, in one round trip."""
    if not changes:
        return
    statements, arguments = _numbered((each.statement, each.arguments) for each in changes)
    made = ", ".join(f"change_{at} AS ({each})" for at, each in enumerate(statements))
    await connection.execute(f"WITH {made} SELECT", *arguments)


def _numbered(
    statements: Iterable[tuple[str, tuple[object, ...]]],
) -> tuple[list[str], list[object]]:
    """Return the statements, their parameters numbered consecutively, and all arguments."""
    numbered, arguments = list[str](), list[object]()
    for statement, own in statements:
        before = len(arguments)
        numbered.append(_PARAMETER.sub(lambda n: f"${int(n[1]) + before}", statement))  # noqa: B023
        arguments.extend(own)
    return numbered, arguments
