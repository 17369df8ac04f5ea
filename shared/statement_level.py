"""Which readers understand a statement: each type and field has the level that it came with.

A reader refuses a type or a field that it does not know, and withdraws what it served by it. So the
control plane writes what came with a level only once its operator says that every facade, and every
other control plane, knows that level (`CONTROL_PLANE_STATEMENT_LEVEL`).

- Level 1: everything that version 0.2.0 reads.
- Level 2: the person whom an operator's token is tied to.
- Level 3: a connection whose devices may list referrers.
- A new type says its level in a class variable, `LEVEL: ClassVar = 2`.
- A new field has a default, which is left out of the bytes, and says `metadata=since(2)`.
"""

from typing import Final

import attrs

OLDEST_LEVEL: Final = 1
NEWEST_LEVEL: Final = 3  # what this version reads

_SINCE: Final = "since_level"


def parse_level(text: str) -> int:
    """Return a level that this version reads; raise `ValueError`."""
    level = int(text)
    if not OLDEST_LEVEL <= level <= NEWEST_LEVEL:
        raise ValueError("not a level")
    return level


def since(level: int) -> dict[str, int]:
    """Return the metadata of a field that came with this level."""
    return {_SINCE: level}


def level_of(value: object) -> int:
    """Return the lowest level whose readers understand this attrs value as it is written.

    A field at its default is not written, so it asks for nothing.
    """
    if isinstance(value, tuple):
        return max(map(level_of, value), default=OLDEST_LEVEL)
    kind = type(value)
    if not attrs.has(kind):
        return OLDEST_LEVEL
    level: int = getattr(value, "LEVEL", OLDEST_LEVEL)
    for field in attrs.fields(kind):
        held = getattr(value, field.name)
        if field.default is attrs.NOTHING or held != field.default:
            level = max(level, field.metadata.get(_SINCE, OLDEST_LEVEL), level_of(held))
    return level
