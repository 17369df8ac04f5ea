"""A registry's 404 is remembered for half a minute, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facade.registries.absences import ABSENCE_SECONDS, MAX_ABSENCES, Absence, Absences
from shared.oci import Digest, Kind, RepositoryName
from shared.upstream.errors import NotInRegistryError
from tests.support.clock import Clock

DIGEST = Digest.of(b"missing")
APP = RepositoryName.parse("team/app")
BLOB = Absence(Kind.BLOB, APP, DIGEST)
MANIFEST = Absence(Kind.MANIFEST, APP, DIGEST)
HEAD_OF_MANIFEST = Absence(Kind.MANIFEST, APP, DIGEST, head_only=True)

absences_of_few = st.builds(
    Absence,
    kind=st.sampled_from(Kind),
    repository=st.sampled_from(["team/app", "team/other"]).map(RepositoryName.parse),
    digest=st.sampled_from([Digest.of(b"one"), Digest.of(b"two")]),
    head_only=st.booleans(),
)


@pytest.fixture
def clock() -> Clock:
    """The memory's clock."""
    return Clock()


@pytest.fixture
def absences(clock: Clock) -> Absences:
    """Nothing remembered yet."""
    return Absences(clock)


def is_absent(absences: Absences, absence: Absence) -> bool:
    """Tell whether the memory says that it is not there."""
    try:
        absences.require_not(absence)
    except NotInRegistryError:
        return True
    return False


def test_what_was_not_there_is_not_there_for_half_a_minute(
    absences: Absences, clock: Clock
) -> None:
    """And is asked again then: it may have been pushed."""
    assert not is_absent(absences, BLOB)
    absences.remember(BLOB)
    clock.advance(ABSENCE_SECONDS - 0.01)
    assert is_absent(absences, BLOB)
    clock.advance(0.01)
    assert not is_absent(absences, BLOB)


@pytest.mark.parametrize(
    "other",
    [
        MANIFEST,
        Absence(Kind.BLOB, RepositoryName.parse("team/other"), DIGEST),
        Absence(Kind.BLOB, APP, Digest.of(b"another")),
    ],
    ids=["kind", "repository", "digest"],
)
def test_an_absence_says_nothing_of_another(absences: Absences, other: Absence) -> None:
    """Kind, repository and digest, all three."""
    absences.remember(BLOB)
    assert not is_absent(absences, other)


def test_a_manifest_that_head_denies_may_be_given_by_get(absences: Absences) -> None:
    """Some proxies know only what was fetched through them; a GET's 404 holds for both."""
    absences.remember(HEAD_OF_MANIFEST)
    assert is_absent(absences, HEAD_OF_MANIFEST)
    assert not is_absent(absences, MANIFEST)
    absences.remember(MANIFEST)
    absences.forget(HEAD_OF_MANIFEST)
    assert is_absent(absences, HEAD_OF_MANIFEST)


def test_what_turned_up_is_forgotten(absences: Absences) -> None:
    """A request that was under way found it."""
    absences.remember(BLOB)
    absences.forget(BLOB)
    absences.forget(BLOB)
    assert not is_absent(absences, BLOB)


def test_no_time_is_no_memory(clock: Clock) -> None:
    """An operator may turn it off."""
    absences = Absences(clock, seconds=0.0)
    absences.remember(BLOB)
    assert not is_absent(absences, BLOB)
    assert absences.count == 0


def test_memory_is_bounded_and_the_oldest_goes(absences: Absences) -> None:
    """Invented digests do not fill it."""
    invented = [
        Absence(Kind.BLOB, APP, Digest.of(str(number).encode()))
        for number in range(MAX_ABSENCES + 5)
    ]
    for absence in invented:
        absences.remember(absence)
    assert absences.count == MAX_ABSENCES
    assert not is_absent(absences, invented[4])
    assert is_absent(absences, invented[5])
    assert is_absent(absences, invented[-1])


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["remember", "forget", "wait"]), absences_of_few, st.integers(1, 40)
        ),
        max_size=40,
    )
)
def test_the_memory_is_a_table_of_moments(steps: list[tuple[str, Absence, int]]) -> None:
    """What is remembered, and since when, in whatever order it comes."""
    clock, told = Clock(), dict[Absence, float]()
    absences = Absences(clock)
    for action, absence, seconds in steps:
        match action:
            case "remember":
                absences.remember(absence)
                told[absence] = clock.now
            case "forget":
                absences.forget(absence)
                told.pop(absence, None)
            case _:
                clock.advance(seconds)
        wider = Absence(absence.kind, absence.repository, absence.digest)
        since = max(told.get(absence, 0.0), told.get(wider, 0.0))
        assert is_absent(absences, absence) == (clock.now < since + ABSENCE_SECONDS)
