"""Whether each connection's sealed secret opened when it was last tried: for operators."""

from collections import OrderedDict
from typing import Final

from attrs import define, field

from shared.approved_connection import ApprovedConnection
from shared.statement import connection_subject

# Of each kind, some 200 bytes each. The oldest is forgotten, and counts as never tried.
MAX_REMEMBERED: Final = 100_000


@define(eq=False)
class SecretOpenings:
    """Connections by subject, each with the access key for which its secret opened, or did not.

    A connection whose sealing key is missing here is in neither: that is known without trying.
    """

    opened: OrderedDict[str, str] = field(factory=OrderedDict, init=False)
    failed: OrderedDict[str, str] = field(factory=OrderedDict, init=False)

    def forget(self, connection: ApprovedConnection) -> None:
        """Forget a connection: its secret is not open, and nothing is known against it."""
        subject = connection_subject(connection.id)
        for openings in (self.opened, self.failed):
            if openings.get(subject) == connection.access_key:
                del openings[subject]

    def note(self, connection: ApprovedConnection, *, opened: bool) -> None:
        """Note how it went for a connection as it is approved now."""
        subject = connection_subject(connection.id)
        into, out_of = (self.opened, self.failed) if opened else (self.failed, self.opened)
        out_of.pop(subject, None)
        into[subject] = connection.access_key
        into.move_to_end(subject)
        if len(into) > MAX_REMEMBERED:
            into.popitem(last=False)
