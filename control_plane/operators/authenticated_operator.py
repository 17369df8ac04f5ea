"""Who was let in: what a request's use cases are told of its caller. Pure."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final

from attrs import frozen

from control_plane.operators.permissions import Role


class LoginKind(StrEnum):
    """By what a caller was let in."""

    TOKEN = "token"  # noqa: S105  # an operator's own
    SESSION = "session"  # of the console
    SINGLE_SIGN_ON = "single_sign_on"  # an access token of the OpenID provider


ACTOR_NAME: Final = "actor_name"  # the detail of an entry that says how people call the actor


@frozen
class AuthenticatedOperator:
    """Somebody who was let in: an operator with a token, or a person of single sign-on.

    `name` is what audit log and statements say. A person's is their identity
    (`oidc:<issuer>:<sub>`), and `display_name` is how people call them. A token that is tied to a
    person has its own name. `expires_at` is when what let them in ends; None: never.
    """

    name: str
    role: Role
    login: LoginKind = LoginKind.TOKEN
    expires_at: datetime | None = None
    person: str | None = None
    display_name: str | None = None

    @property
    def shown_name(self) -> str:
        """How people call them."""
        return self.display_name or self.name

    @property
    def audit_details(self) -> Mapping[str, str]:
        """What an audit entry says beside the name."""
        return {ACTOR_NAME: self.display_name} if self.display_name else {}
