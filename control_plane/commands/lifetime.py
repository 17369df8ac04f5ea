"""How long a token or an approval is valid, and when it ends, as people write it."""

import re
from datetime import timedelta
from typing import Final

import click

from control_plane.clock import now
from shared.canonical_json import format_time

MAX_LIFETIME_DAYS: Final = 3650  # something valid for ever has no expiry at all

_LIFETIME: Final = re.compile(r"([0-9]{1,6})([smhd])", re.ASCII)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class LifetimeType(click.ParamType[timedelta]):
    """`90d`, `12h`, `30m` or `45s`."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Return the duration."""
        match = _LIFETIME.fullmatch(str(value))
        lifetime = timedelta(seconds=int(match[1]) * _SECONDS[match[2]]) if match else timedelta()
        if not timedelta() < lifetime <= timedelta(days=MAX_LIFETIME_DAYS):
            self.fail(
                f"expected a duration such as 90d or 12h, at most {MAX_LIFETIME_DAYS}d", param, ctx
            )
        return lifetime


class EndType(click.ParamType[str]):
    """The end of a duration from now on, such as `7d`; another text is the API's to judge."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Return the time as the API reads it."""
        text = str(value)
        if _LIFETIME.fullmatch(text) is None:
            return text
        return format_time(now() + LifetimeType().convert(text, param, ctx))
