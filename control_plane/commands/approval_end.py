"""When an approval ends: the options that say it, and what they put into a call's body."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, TypeVar

import click
from attrs import frozen

from control_plane.clock import now
from control_plane.commands.answers import ExpiryAnswer
from control_plane.commands.api_client import Json
from control_plane.commands.lifetime import LifetimeType
from shared.canonical_json import format_time

END_OPTIONS: Final = {
    "expires_at": "--expires-at",
    "lifetime": "--expires",
    "no_expiry": "--no-expiry",
    "keep_expiry": "--keep-expiry",
}

_Command = TypeVar("_Command", bound=Callable[..., Any])


@frozen(kw_only=True)
class ChosenEnd:
    """What the options say of an approval's end; none of them says nothing."""

    expires_at: str | None
    lifetime: timedelta | None
    no_expiry: bool
    keep_expiry: bool

    @classmethod
    def of(cls, options: dict[str, Any]) -> "ChosenEnd":
        """Take the options out of a command's; raise `click.UsageError` if several are given."""
        chosen = cls(**{name: options.pop(name) for name in END_OPTIONS})
        given = chosen.given
        if len(given) > 1:
            raise click.UsageError(f"give one of {', '.join(given)}")
        return chosen

    @property
    def given(self) -> list[str]:
        """The options that were given."""
        return [option for name, option in END_OPTIONS.items() if getattr(self, name)]

    def body(self, present: ExpiryAnswer | None) -> Json:
        """Return what an approval's body says of its end; `present`: what is to be kept, if so."""
        if present is not None:
            return {"expires_at": present["expires_at"]}
        if self.lifetime is not None:
            return {"expires_at": format_time(now() + self.lifetime)}
        if self.expires_at is None and not self.no_expiry:
            return {}
        return {"expires_at": self.expires_at}


def end_options(function: _Command) -> _Command:
    """Give a command the options."""
    for option in (
        click.option("--keep-expiry", is_flag=True, help="It ends when the present approval does."),
        click.option("--no-expiry", is_flag=True, help="It ends only by a revocation."),
        click.option(
            "--expires", "lifetime", type=LifetimeType(), help="For how long it holds, as 90d."
        ),
        click.option("--expires-at", help="When the approval ends, as 2030-01-31T12:00:00Z."),
    ):
        function = option(function)
    return function
