"""Random delays, so that what failed together does not try again together."""

from random import uniform


def jittered(longest_seconds: float) -> float:
    """Return between half of a delay and the whole of it, in seconds."""
    return uniform(longest_seconds / 2, longest_seconds)  # noqa: S311 - spreads load, guards nothing
