"""Times as callers write them."""

from datetime import UTC, datetime
from typing import Final

MAX_TIME_CHARACTERS: Final = 40  # RFC 3339 with nanoseconds and an offset


def parse_time(text: str) -> datetime:
    """Return the moment of an RFC 3339 time, in UTC and to the millisecond."""
    try:
        moment = datetime.fromisoformat(text[:MAX_TIME_CHARACTERS])
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or "T" not in text:
        raise ValueError("expected a time such as 2030-01-31T12:00:00Z (RFC 3339)")
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("expected a time of this era") from None
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
