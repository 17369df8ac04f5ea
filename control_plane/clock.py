"""The time, as statements carry it: UTC in whole milliseconds."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def now() -> datetime:
    """Return the time in whole milliseconds: a statement has no more."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def unix_milliseconds(moment: datetime) -> int:
    """Return a moment's Unix time in milliseconds."""
    return int(moment.timestamp() * 1000)
