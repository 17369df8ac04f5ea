"""What one row of the database, or its absence, did to what is served. Pure."""

from enum import Enum

from attrs import frozen


class RowOutcome(Enum):
    """What a row or an absence did."""

    UNCHANGED = "unchanged"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    VANISHED = "vanished"


@frozen
class Change:
    """What happened to a subject, and why. The caller stores and logs it."""

    subject: str
    outcome: RowOutcome
    reason: str = ""
    statement_type: str = ""
    generation: int | None = None
    is_strangers: bool = False  # nothing of the subject was ever believed, so nothing depends on it
