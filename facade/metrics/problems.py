"""What is wrong with a facade: part by part, in words, and how much of its work that stops."""

from collections.abc import Iterable
from enum import Enum, StrEnum

from attrs import define, field, frozen

from shared.structured_log import get_logger

_log = get_logger("facade.health")


class FacadePart(StrEnum):
    """What a facade depends on: the label of `facade_problem`."""

    DATABASE = "database"
    DATABASE_LOGIN = "database_login"  # it may do more than a facade needs
    COMPARISON = "comparison"  # the comparison with the database is late
    STATE_FOLDER = "state_folder"
    STATEMENTS = "statements"
    SEALING_KEY = "sealing_key"
    PRIVATE_KEYS = "private_keys"  # others may read them
    SERVER_CERTIFICATE = "server_certificate"
    DEVICE_TRUST = "device_trust"
    DEVICES = "devices"
    FILES = "files"
    BACKGROUND = "background"  # work in the background that failed and is tried again


class Stops(Enum):
    """What cannot be served because of a problem."""

    NOTHING = "nothing yet"
    SOME = "some"
    ALL = "all"


@frozen
class Problem:
    """What is wrong with a part, and what to do about it."""

    part: FacadePart
    stops: Stops
    words: str
    kind: str = ""  # the words without numbers: if this changes, the problem is told again


@frozen
class Finding:
    """One of several things that are wrong with a part."""

    stops: Stops
    words: str
    kind: str


def problem_of(part: FacadePart, findings: Iterable[Finding]) -> Problem | None:
    """Return the findings as one problem, which stops what the gravest of them stops."""
    found = list(findings)
    if not found:
        return None
    stops = max((each.stops for each in found), key=list(Stops).index)
    words, kinds = (each.words for each in found), (each.kind for each in found)
    return Problem(part, stops, "; ".join(words), kind=", ".join(kinds))


@define(eq=False)
class ToldProblems:
    """Logs problems when they begin, when they change, and when they are over."""

    _told: dict[FacadePart, Problem] = field(factory=dict, init=False)

    def tell(self, problems: Iterable[Problem]) -> None:
        """Tell what has changed since the last time. Each part has one problem at most."""
        current = {each.part: each for each in problems}
        for part in self._told.keys() - current.keys():
            _log.info("problem is over", part=part)
        for part, problem in current.items():
            told = self._told.get(part)
            if told is None or (told.stops, told.kind) != (problem.stops, problem.kind):
                _log.warning("problem", part=part, stops=problem.stops.value, reason=problem.words)
        self._told = current
