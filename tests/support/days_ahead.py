"""Days that are to come, whenever the tests run: as people write them, and as the API does."""

from datetime import UTC, datetime, timedelta


def day_ahead(years: int) -> str:
    """Return a day after so many years: `2031-01-31`."""
    return (datetime.now(UTC) + timedelta(days=366 * years)).date().isoformat()


def noon_of(day: str) -> str:
    """Return its noon: `2031-01-31T12:00:00.000Z`."""
    return f"{day}T12:00:00.000Z"
