"""What the agent remembers of metadata, so that nothing older is ever believed again. Pure.

python-tuf remembers too, in files that it does not fsync, and ignores those that it cannot read: a
power cut or rot would take its protection against rollback with them. So the versions are kept in
the journal as well.

A stolen online key may have signed a version that is far too high. TUF's way out is to change that
role's keys in the root (specification, section 5.3.11), which forgets what the old keys had signed.
So each floor names the keys that it counts for.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from attrs import frozen

ROOT: Final = "root"
TIMESTAMP: Final = "timestamp"
SNAPSHOT: Final = "snapshot"


@frozen
class Floor:
    """The least version of a role that is believed, as long as these keys vouch for it."""

    role: str
    version: int
    keys: tuple[str, ...]  # ids, sorted


def below(remembered: Sequence[Floor], seen: Sequence[Floor]) -> list[str]:
    """Return a sentence for each role whose version went back."""
    now = {floor.role: floor for floor in seen}
    return [
        f"{floor.role} has version {now[floor.role].version}, after {floor.version}"
        for floor in remembered
        if floor.role in now
        and now[floor.role].version < floor.version
        and now[floor.role].keys == floor.keys
    ]


def raised(remembered: Sequence[Floor], seen: Sequence[Floor]) -> tuple[Floor, ...]:
    """Return what is to be remembered from now on: what was seen, and roles not seen this time."""
    known: Mapping[str, Floor] = {floor.role: floor for floor in (*remembered, *seen)}
    return tuple(known[role] for role in sorted(known))
