"""Which connections' credentials their registries refuse: for operators."""

from collections.abc import Iterator
from typing import Final

from attrs import define, field

from shared.approved_connection import ApprovedConnection
from shared.bounded_map import BoundedMap
from shared.statement import connection_subject

MAX_REMEMBERED: Final = 100_000  # some 300 bytes each


@define(eq=False)
class RefusedCredentials:
    """Connections by subject, each with the access key whose credential was refused last."""

    _by_subject: BoundedMap[str, str] = field(
        factory=lambda: BoundedMap(MAX_REMEMBERED), init=False
    )

    def note(self, connection: ApprovedConnection, *, refused: bool) -> None:
        """Note that a registry refuses a credential, or accepts it again."""
        subject = connection_subject(connection.id)
        if refused:
            self._by_subject.set(subject, connection.access_key)
        elif self._by_subject.get(subject) == connection.access_key:
            self._by_subject.pop(subject)

    def holds(self, connection: ApprovedConnection) -> bool:
        """Tell whether the registry refused this credential when it was last used."""
        return self._by_subject.get(connection_subject(connection.id)) == connection.access_key

    def items(self) -> Iterator[tuple[str, str]]:
        """Yield the subjects with their access keys."""
        for subject in self._by_subject:
            if (access_key := self._by_subject.get(subject)) is not None:
                yield subject, access_key
