"""How far ahead of a clock a generation may be. Pure.

A generation is the time in Unix milliseconds, or one more than the one before it. One that is far
ahead, such as the highest number there is, would leave no room for a newer one: the subject could
never be changed again. So it is neither made nor taken nor remembered.
"""

from datetime import UTC, datetime
from typing import Final

from shared.statement import MAX_GENERATION

# Clocks that are corrected are off by minutes. A year also allows for a clock that was set to the
# wrong year for a while: what such a control plane signed goes on holding.
MAX_AHEAD_SECONDS: Final = 366 * 24 * 60 * 60

# This program is not older than this day; each release raises it. A clock that says an earlier day
# is wrong (a board without a battery says 1970), so it judges nothing. Otherwise the facade would
# refuse everything.
BUILT_AFTER: Final = datetime(2026, 11, 29, tzinfo=UTC)
_BUILT_AFTER_MILLISECONDS: Final = int(BUILT_AFTER.timestamp()) * 1000


def highest_generation_at(now_milliseconds: int) -> int:
    """Return the highest generation that is taken at this Unix time in milliseconds."""
    if now_milliseconds < _BUILT_AFTER_MILLISECONDS:
        return MAX_GENERATION
    return min(now_milliseconds + MAX_AHEAD_SECONDS * 1000, MAX_GENERATION)
