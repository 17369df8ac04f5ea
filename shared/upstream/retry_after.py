"""`Retry-After` (RFC 9110 section 10.2.3): seconds or an HTTP date, bounded."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from shared.outside_bytes import Party, reads_bytes_of

MAX_RETRY_AFTER_SECONDS: Final = 60.0  # a registry does not silence us for longer
_SECONDS: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_MAX_CHARACTERS: Final = 64  # an HTTP date has 29


@reads_bytes_of(Party.REGISTRY)
def retry_after_seconds(
    headers: Mapping[str, str],
    now: datetime | None = None,
    *,
    at_most: float = MAX_RETRY_AFTER_SECONDS,
) -> float | None:
    """Return the delay in seconds, 0 to 60, or None if the header says nothing readable.

    `at_most` is another bound than 60.
    """
    value = headers.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(value):
        return min(float(value), at_most)
    if not value or len(value) > _MAX_CHARACTERS:
        return None
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:  # `-0000`: UTC, says RFC 5322
        moment = moment.replace(tzinfo=UTC)
    delay = (moment - (now or datetime.now(UTC))).total_seconds()
    return min(max(delay, 0.0), at_most)
