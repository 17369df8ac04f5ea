"""Whether the database went back: whether a control plane has seen newer statements than it holds.

That is what a restored backup looks like. Facades remember what they have seen and refuse the older
statements, so they do not serve what is shown here as approved. Signing each again mends that: the
new statement's generation is above all that were seen. A removed operator may be back, too.

Nothing is believed or refused here because of what is remembered. It is only compared with the
signed log.
"""

from typing import Final

from attrs import define, field

from control_plane.proof.audit_chain import AuditChain
from control_plane.proof.signed_log import SignedLog
from control_plane.troubles import ControlPlanePart, Trouble
from shared.structured_log import get_logger

MAX_LOGGED_SUBJECTS: Final = 100
OLDER: Final = (
    "the database went back: a newer statement was seen here, so facades refuse this one;"
    " approve it again, or revoke it"
)
_CONNECTIONS: Final = ("connection/",)
_DEVICES: Final = ("device/", "certificate/")
_OPERATORS: Final = ("operator/",)
_WAYS_ON: Final = (
    (_CONNECTIONS, "of connections, which facades refuse: approve or revoke each again"),
    (_DEVICES, "of devices, of which facades know what came later: revoke or lift each again"),
    (_OPERATORS, "of operators, whose older token or role holds: rotate or remove each again"),
)

_log = get_logger("control_plane.history")


@define(eq=False)
class History:
    """What the database lost, as far as this control plane remembers."""

    _chain: AuditChain
    _older: dict[str, int] = field(factory=dict, init=False)  # what was seen, by subject
    _compared: SignedLog | None = field(default=None, init=False)

    def look(self) -> None:
        """Compare a log that was read anew with what is remembered.

        A log that goes on from one that was compared has lost nothing.
        """
        log, before = self._chain.log, self._compared
        if log is None or (before is not None and log.goes_on_from(before)):
            return
        self._compared = log
        everything = self._chain.highest.everything()
        found = {each: seen for each, seen in everything.items() if _is_older(log, each, seen)}
        for subject in sorted(found.keys() - self._older.keys())[:MAX_LOGGED_SUBJECTS]:
            _log.warning("statement went back", subject=subject, generation=found[subject])
        self._older = found

    def is_older(self, subject: str) -> bool:
        """Tell whether a newer statement about the subject was seen than the database has now."""
        log = self._chain.log
        return subject in self._older and (
            log is None or log.generation(subject) <= self._older[subject]
        )

    def trouble(self) -> Trouble | None:
        """Return how much went back and was not signed again yet, and what to do."""
        subjects = [subject for subject in self._older if self.is_older(subject)]
        counts = ((sum(each.startswith(of) for each in subjects), say) for of, say in _WAYS_ON)
        said = "; ".join(f"{count} {words}" for count, words in counts if count)
        if not said:
            return None
        words = f"the database went back, as after a restored backup. Older than was seen: {said}"
        return Trouble(ControlPlanePart.HISTORY, words, stops=False, kind="went back")


def _is_older(log: SignedLog, subject: str, seen: int) -> bool:
    generation = log.generation(subject)
    if not generation:
        # A connection or an operator that is gone is gone for facades, too.
        return subject.startswith(_DEVICES)
    return generation < seen
