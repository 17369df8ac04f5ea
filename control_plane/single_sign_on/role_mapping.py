"""Which role a person has: the values of one claim, and what each of them stands for. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Self

import orjson
from attrs import field, frozen

from control_plane.operators.permissions import Role
from shared.safe_message import SafeMessage

MAX_VALUES: Final = 1024  # of a claim that are looked at; providers cut long lists themselves
MAX_MAPPED_VALUES: Final = 256
MAX_VALUE_CHARACTERS: Final = 256


class InvalidRoleMappingError(SafeMessage, ValueError):
    """The setting is no mapping of claim values to roles; nothing of it is quoted."""


@frozen
class RoleMapping:
    """Claim values, and the role that each stands for."""

    roles: Mapping[str, Role] = field(factory=dict)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the mapping of a JSON object; raise `InvalidRoleMappingError`."""
        try:
            found = orjson.loads(text)
        except orjson.JSONDecodeError:
            raise InvalidRoleMappingError("it is no JSON") from None
        if not isinstance(found, dict) or not 0 < len(found) <= MAX_MAPPED_VALUES:
            raise InvalidRoleMappingError(f"it has 1 to {MAX_MAPPED_VALUES} claim values")
        if not all(0 < len(value) <= MAX_VALUE_CHARACTERS for value in found):
            raise InvalidRoleMappingError(
                f"a claim value has 1 to {MAX_VALUE_CHARACTERS} characters"
            )
        if not all(isinstance(role, str) and role in list(Role) for role in found.values()):
            raise InvalidRoleMappingError(f"a role is one of {', '.join(Role)}")
        return cls({value: Role(role) for value, role in found.items()})

    def role_of(self, claims: Mapping[str, Any], claim: str) -> Role | None:
        """Return the highest role that the claim's values stand for, or none."""
        ranks = [*Role]
        found = [self.roles[value] for value in _values(claims, claim) if value in self.roles]
        return max(found, key=ranks.index, default=None)

    def __str__(self) -> str:
        """Return the form in which it is written in the environment."""
        return orjson.dumps({value: role.value for value, role in self.roles.items()}).decode()


def _values(claims: Mapping[str, Any], claim: str) -> Iterator[str]:
    """Give the values of a claim: of the whole name, else of the path that its dots describe.

    Auth0's names are URLs with dots in them; Keycloak's roles are in `realm_access.roles`.
    """
    found: Any = claims.get(claim)
    if found is None:
        found = claims
        for part in claim.split("."):
            found = found.get(part) if isinstance(found, dict) else None
    listed = found if isinstance(found, list) else [found]
    yield from (value for value in listed[:MAX_VALUES] if isinstance(value, str))
