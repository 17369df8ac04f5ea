"""What is wrong with a running control plane: part by part, in words that say what to do.

`/readyz` says it, `control_plane_problem{part}` shows it, and the log has a line when it begins,
changes or is over. Anybody may ask `/readyz`, so the words name no connection.
"""

from collections.abc import Iterable
from enum import StrEnum

from attrs import define, field, frozen

from shared.structured_log import get_logger

_log = get_logger(__name__)


class ControlPlanePart(StrEnum):
    """What a control plane stands on: the label of `control_plane_problem`."""

    SERVER_CERTIFICATE = "server_certificate"
    PRIVATE_KEYS = "private_keys"  # whether others may read them
    FILES = "files"
    STATE_FOLDER = "state_folder"
    HISTORY = "history"
    AUDIT_LOG = "audit_log"
    STATEMENT_KEYS = "statement_keys"
    BACKGROUND = "background"  # work that is done beside answering; it failed and is tried again
    NOTIFICATIONS = "notifications"
    SINGLE_SIGN_ON = "single_sign_on"  # its provider
    WEBHOOKS = "webhooks"


@frozen
class Trouble:
    """What is wrong with a part, and what to do about it."""

    part: ControlPlanePart
    words: str
    stops: bool  # whether nobody can be served because of it
    kind: str  # it is logged again when this changes, but not when numbers in the words do


@define(eq=False)
class ToldTroubles:
    """Logs troubles when they begin, when they change, and when they are over."""

    _told: dict[ControlPlanePart, Trouble] = field(factory=dict, init=False)

    def tell(self, troubles: Iterable[Trouble]) -> None:
        """Log what differs from the last time; each part has one trouble at most."""
        current = {each.part: each for each in troubles}
        for part in self._told.keys() - current.keys():
            _log.info("problem is over", part=part)
        for part, trouble in current.items():
            told = self._told.get(part)
            if told is None or told.kind != trouble.kind:
                _log.warning("problem", part=part, reason=trouble.words)
        self._told = current
