"""What an operator's role may do: there are four, and each may do what the one below it may."""

from enum import StrEnum
from typing import Final

from control_plane.errors import NotPermittedError


class Role(StrEnum):
    """An operator's role, as it stands in the signed statement."""

    VIEWER = "viewer"
    CONNECTOR = "connector"
    APPROVER = "approver"
    ADMIN = "admin"


_RANK: Final = {role: rank for rank, role in enumerate(Role)}


def reaches(role: Role, needed: Role) -> bool:
    """Tell whether a role may do what the needed one may."""
    return _RANK[role] >= _RANK[needed]


def require(role: Role, needed: Role) -> None:
    """Raise `NotPermittedError` unless the role may do what the needed one may."""
    if not reaches(role, needed):
        raise NotPermittedError(f"this needs the role {needed}, and the token's is {role}")
