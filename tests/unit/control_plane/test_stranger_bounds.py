"""What strangers cost: refused logins for each address, lines of the log, and no memory."""

import orjson
import pytest

from control_plane.errors import TooManyRequestsError
from control_plane.operators.rate_limit import MAX_NAMES, RateLimit
from control_plane.operators.stranger_lines import (
    MAX_COUNTED_SITES,
    MAX_TOLD_SITES,
    REQUESTS_TOLD,
    REQUESTS_TOLD_IN_ALL,
    StrangerLines,
)
from control_plane.proof.belief import HighestGenerations


class Clock:
    """A clock that stands unless it is moved."""

    now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def test_a_name_of_which_nothing_was_seen_is_not_remembered() -> None:
    """A stranger makes names up; a subject that was verified has a generation above 0."""
    highest = HighestGenerations()
    highest.remember("operator/invented", 0)
    highest.remember("operator/alice", 7)
    assert highest.everything() == {"operator/alice": 7}
    assert highest.take_changes() == {"operator/alice": 7}


def test_a_limit_remembers_a_bounded_number_of_names() -> None:
    """And nobody whose bucket is full again."""
    clock = Clock()
    limit = RateLimit(clock, burst=2, per_second=1)
    for number in range(MAX_NAMES + 50):
        limit.take(str(number))
    assert len(limit) == MAX_NAMES
    clock.now = 3.0
    assert len(limit) == 0


def test_what_is_given_back_can_be_taken_again() -> None:
    """A login that succeeds costs nothing of the bucket."""
    limit = RateLimit(Clock(), burst=1, per_second=0.001)
    for _ in range(5):
        limit.take("site")
        limit.give_back("site")
    assert len(limit) == 0
    limit.take("site")
    with pytest.raises(TooManyRequestsError):
        limit.take("site")


def told(lines: StrangerLines, peer: str, requests: int) -> int:
    """Return how many of so many requests have lines of their own."""
    return sum(lines.may_tell(peer) for _ in range(requests))


def test_an_address_has_its_share_of_lines_and_no_more() -> None:
    """The addresses of one IPv6 network have one; others have their own."""
    lines = StrangerLines.of(Clock(), behind_proxy=False)
    assert told(lines, "192.0.2.1", 10 * REQUESTS_TOLD) == REQUESTS_TOLD
    assert told(lines, "2001:db8::1", REQUESTS_TOLD) == REQUESTS_TOLD
    assert told(lines, "2001:db8::2", REQUESTS_TOLD) == 0
    assert told(lines, "192.0.2.2", 1) == 1


def test_all_addresses_together_have_a_bounded_number_of_lines() -> None:
    """Whoever has many addresses writes no more."""
    lines = StrangerLines.of(Clock(), behind_proxy=False)
    assert sum(told(lines, f"10.0.{n // 250}.{n % 250}", 1) for n in range(2000)) == (
        REQUESTS_TOLD_IN_ALL
    )


def test_behind_a_proxy_lines_are_not_shared_out_by_address() -> None:
    """All come from the proxy's."""
    lines = StrangerLines.of(Clock(), behind_proxy=True)
    assert told(lines, "10.0.0.1", 2 * REQUESTS_TOLD_IN_ALL) == REQUESTS_TOLD_IN_ALL


def test_one_line_says_how_many_had_none(capfd: pytest.CaptureFixture[str]) -> None:
    """For each address with most, and one for the others; then it is over."""
    clock = Clock()
    lines = StrangerLines.of(clock, behind_proxy=False)
    told(lines, "192.0.2.1", REQUESTS_TOLD + 500)
    others = 2 * MAX_COUNTED_SITES
    told_others = sum(told(lines, f"10.0.{n // 256}.{n % 256}", 1) for n in range(others))
    for _ in range(2):
        lines.tell()
    logged = [orjson.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert {line["event"] for line in logged} == {"more requests of strangers"}
    assert len(logged) == MAX_TOLD_SITES + 1
    assert sum(line["count"] for line in logged) == 500 + others - told_others
    assert "peer" not in logged[-1]
