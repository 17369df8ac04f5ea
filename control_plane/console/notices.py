"""What a page says about what was just done: fixed words, by a code in the address. Pure.

Nobody can put words of their own into a page by a link.
"""

from enum import Enum
from typing import Final

PARAMETER: Final = "done"


class Notice(Enum):
    """The codes, and their words."""

    SIGNED_OUT = "You are signed out."
    APPROVED = "It is approved. Facades take it over within seconds."
    SENT_BACK = "The draft is sent back, with your comment."
    SAVED = "It is saved."
    DRAFT_MADE = "It is saved. What serves goes on serving until an approver approves the draft."
    ROTATED = "The new secret serves, under the approval that was there."
    DRAFT_DISCARDED = "The draft is discarded."
    REVOKED = "It is revoked, for ever. Facades refuse it within seconds."
    OPERATOR_REMOVED = "The operator is removed. Their token and their sessions have ended."
    CONNECTED = "It is connected, and waits for an approver."
    CONNECTED_TO_GRANT = (
        "It is connected, and waits for an approver. Below is what to grant, ready to paste."
    )
    SESSION_ENDED = "The session is ended."
    SESSIONS_ENDED = "Their sessions are ended. The audit log says so."
    DEVICE_REVOKED = "It is served no longer."
    DEVICE_WAS_REVOKED = "It was revoked already, and stays as it was."
    DEVICE_LIFTED = "It is served again, if its certificate still holds."
    SIGNED_OUT_EVERYWHERE = "All of your sessions are ended."

    @property
    def code(self) -> str:
        """What stands in the address."""
        return self.name.lower().replace("_", "-")


_BY_CODE: Final = {notice.code: notice for notice in Notice}


def notice_of(code: str | None) -> Notice | None:
    """Return the notice of a code, if there is one."""
    return _BY_CODE.get(code or "")
