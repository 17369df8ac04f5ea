"""The acts upon connections and devices, and that of a restore, as the audit log names them."""

from enum import StrEnum
from typing import Final


class Action(StrEnum):
    """An act upon a connection's revisions, as the audit log names it."""

    CONNECT = "connection.connect"
    DRAFT = "connection.draft"
    DISCARD = "connection.discard"
    APPROVE = "connection.approve"
    ROTATE = "connection.rotate"
    REVOKE = "connection.revoke"


# About a draft, which stays as it is: so it is none of the acts upon revisions.
SEND_BACK: Final = "connection.send_back"

REVISION_ACTIONS: Final = tuple(action.value for action in Action)

DEVICE_REVOKE: Final = "device.revoke"
DEVICE_LIFT: Final = "device.lift"

ACCEPT_RESTORE: Final = "audit.accept_restore"
