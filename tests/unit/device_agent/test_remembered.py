"""What the agent remembers: floors that nothing goes below, and a journal that is whole."""

import contextlib
import datetime as dt
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_agent import journal as journals
from device_agent.errors import ConfigurationError
from device_agent.floors import Floor, below, raised
from device_agent.journal import MAX_REFUSED, Failure, Journal
from device_agent.machine import Phase
from device_agent.release import Artifact, Release

ROLES = st.sampled_from(["root", "timestamp", "snapshot", "targets", "line-a"])
FLOORS = st.lists(
    st.builds(Floor, ROLES, st.integers(1, 5), st.sampled_from([("a",), ("b",)])),
    unique_by=lambda floor: floor.role,
)


@given(FLOORS, FLOORS)
def test_a_role_goes_back_only_where_its_keys_have_changed(
    before: list[Floor], now: list[Floor]
) -> None:
    """The oracle: each role by itself."""
    known = {floor.role: floor for floor in before}
    gone_back = {
        floor.role
        for floor in now
        if floor.role in known
        and known[floor.role].keys == floor.keys
        and known[floor.role].version > floor.version
    }
    assert {sentence.split()[0] for sentence in below(before, now)} == gone_back


@given(FLOORS, FLOORS)
def test_what_was_not_seen_is_not_forgotten(before: list[Floor], now: list[Floor]) -> None:
    """A mirror that shows a role no more does not take its floor away."""
    known = {floor.role: floor for floor in raised(before, now)}
    assert known == {**{f.role: f for f in before}, **{f.role: f for f in now}}


ARTIFACT = Artifact("app", "host/team/app", "sha256:" + "0" * 64, 10, "type")


def a_journal() -> Journal:
    """Return a journal with something in each field."""
    release = Release((ARTIFACT,))
    return Journal(
        Phase.APPLYING,
        release,
        release,
        2,
        (Failure("a", "b"),),
        (Floor("root", 1, ("a", "b")),),
        dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
        "words",
    )


def test_a_journal_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Every field of it."""
    journals.save(tmp_path / "journal.json", a_journal())
    assert journals.load(tmp_path / "journal.json") == a_journal()


@given(st.data())
def test_a_changed_journal_is_refused(data: st.DataObject) -> None:
    """A disk that changes a version must not take the floors away in silence."""
    path = Path("/tmp") / "device-agent-journal-test.json"  # noqa: S108
    journals.save(path, a_journal())
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    with contextlib.suppress(ConfigurationError):
        assert journals.load(path) == a_journal()  # a flip that JSON reads alike
    path.unlink()


def test_a_journal_that_is_cut_or_missing_is_refused(tmp_path: Path) -> None:
    """There is no way to begin anew by accident."""
    path = tmp_path / "journal.json"
    with pytest.raises(ConfigurationError):
        journals.load(path)
    for content in (b"", b"null", b"[]", b'{"journal": 1}', b'{"journal": "x", "sha256": 1}'):
        path.write_bytes(content)
        with pytest.raises(ConfigurationError):
            journals.load(path)


def test_failures_are_bounded() -> None:
    """The newest ones are kept."""
    journal, release = Journal(), Release(())
    for number in range(2 * MAX_REFUSED):
        digest = f"sha256:{number:064x}"
        release = Release((Artifact("app", "h/r", digest, 1, "t"),))
        journal = Journal(failures=journal.with_failure(release, "words"))
    assert len(journal.failures) == MAX_REFUSED
    assert journal.failed_here(release)
