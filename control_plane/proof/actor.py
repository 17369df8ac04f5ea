"""Who acts, as the audit log names them."""

from collections.abc import Mapping
from typing import Protocol


class Actor(Protocol):
    """Somebody who was let in, or whoever runs a command."""

    @property
    def name(self) -> str:
        """The actor of the entries, and of the statements."""

    @property
    def audit_details(self) -> Mapping[str, str]:
        """What the entries say of the actor beside the name."""


def name_of(actor: Actor | str) -> str:
    """Return the actor of an entry."""
    return actor if isinstance(actor, str) else actor.name


def details_of(actor: Actor | str) -> Mapping[str, str]:
    """Return what an entry says of the actor beside the name."""
    return {} if isinstance(actor, str) else actor.audit_details
