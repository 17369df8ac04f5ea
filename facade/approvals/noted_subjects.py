"""The subjects that notifications have named and that were not read yet. Pure.

Whoever may log in to the database may notify, as often and of whatever they like. So subjects are
bounded in bytes: if there are too many, they are forgotten, and everything is compared once
instead.
"""

from typing import Final

from attrs import define, field

from facade.approvals.statement_rows import MAX_SUBJECT_BYTES
from shared.outside_bytes import Party, reads_bytes_of

EVERYTHING: Final = ""  # what a TRUNCATE notifies
DEVICES: Final = ("device/", "certificate/")
MAX_PENDING_SUBJECTS: Final = 1000  # beyond it, one whole comparison is cheaper
MAX_NOTED_BYTES: Final = 4 * 1024 * 1024  # some 20,000 subjects of connections
NOTED_COST_BYTES: Final = 150  # of a name in a CPython set, without its characters


@define
class NotedSubjects:
    """What is to be read. For one event loop."""

    _names: set[str] = field(factory=set, init=False)
    _bytes: int = field(default=0, init=False)
    _is_everything: bool = field(default=False, init=False)

    @property
    def is_too_much(self) -> bool:
        """Whether everything has to be compared."""
        return self._is_everything or len(self._names) > MAX_PENDING_SUBJECTS

    @reads_bytes_of(Party.DATABASE)
    def note(self, name: object) -> None:
        """Note the subject that a notification names."""
        if (
            not isinstance(name, str)
            or name == EVERYTHING
            or len(name.encode()) > MAX_SUBJECT_BYTES
        ):
            self._is_everything = True
            return
        if name in self._names or (self._is_everything and not name.startswith(DEVICES)):
            return  # everything is about to be compared
        self._bytes += _cost(name)
        if self._bytes > MAX_NOTED_BYTES:
            self.clear()
            self._is_everything = True
            return
        self._names.add(name)

    def clear(self) -> None:
        """Forget all: everything is about to be compared."""
        self._names, self._bytes, self._is_everything = set(), 0, False

    def take(self) -> list[str] | None:
        """Return what to read now, and forget it; None if not even the devices are few enough.

        If everything is too much, it is the devices only, so that a revocation does not wait.
        """
        names = self._names
        if self.is_too_much:
            names = {each for each in names if each.startswith(DEVICES)}
            if len(names) > MAX_PENDING_SUBJECTS:
                return None
        self._names = self._names - names
        self._bytes = sum(map(_cost, self._names))
        return list(names)


def _cost(name: str) -> int:
    return len(name.encode()) + NOTED_COST_BYTES
