"""What a registry said it does not have, remembered for half a minute. Pure, with the clock given.

A fleet that was told a wrong digest asks for it a thousand times. Only the registry's own 404 is
remembered: what it refuses, limits or fails at may be there. Each upstream, and so each access key,
has a memory of its own, because another secret may see more.
"""

from collections.abc import Callable
from typing import Final

from attrs import define, evolve, field, frozen

from shared.bounded_map import BoundedMap
from shared.oci import Digest, Kind, RepositoryName
from shared.upstream.errors import NotInRegistryError
from shared.upstream.transport import Method

ABSENCE_SECONDS: Final = 30.0  # content pushed after a failed pull is found at most this much later
MAX_ABSENCES: Final = 8192  # of one connection, some 700 bytes each; the oldest is forgotten


class RememberedAbsenceError(NotInRegistryError):
    """The registry said a short while ago that it does not have this, and was not asked again."""

    def __init__(self) -> None:
        """Say so."""
        super().__init__("the registry said just now that it does not have it")


@frozen
class Absence:
    """A digest in a repository. `head_only`: only HEAD was asked, and GET might give it."""

    kind: Kind
    repository: RepositoryName
    digest: Digest
    head_only: bool = False

    @classmethod
    def of(
        cls, kind: Kind, repository: RepositoryName, digest: Digest, method: Method
    ) -> "Absence":
        """Return what a 404 to a request says; a blob's HEAD is in doubt asked again by GET."""
        return cls(kind, repository, digest, method == "HEAD" and kind is Kind.MANIFEST)


@define(eq=False)
class Absences:
    """What one registry lately said it does not have."""

    _clock: Callable[[], float]
    _seconds: float = ABSENCE_SECONDS
    _absent: BoundedMap[Absence, bool] = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Remember by the same clock."""
        self._absent = BoundedMap(MAX_ABSENCES, seconds=self._seconds, clock=self._clock)

    def remember(self, absence: Absence) -> None:
        """Remember a 404 that the registry answered now."""
        self._absent.set(absence, True)  # noqa: FBT003 - a set: the keys are what is remembered

    def forget(self, absence: Absence) -> None:
        """Forget a 404: the registry has it after all."""
        self._absent.pop(absence)

    def require_not(self, absence: Absence) -> None:
        """Raise `RememberedAbsenceError` if the registry answered 404 for this a short time ago."""
        wider = evolve(absence, head_only=False)  # without a GET, no HEAD either
        if absence in self._absent or wider in self._absent:
            raise RememberedAbsenceError

    @property
    def count(self) -> int:
        """How many are remembered."""
        return len(self._absent)

    @property
    def remembers_some(self) -> bool:
        """Whether an absence is still remembered."""
        return len(self._absent) > 0
