"""Silence and 5xx of one path, or of one device's paths, are nobody else's matter."""

import itertools
from contextlib import ExitStack, suppress

import pytest
from attrs import evolve
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from facade.registries.circuit import (
    FIRST_WAIT_SECONDS,
    MAX_WAIT_SECONDS,
    TRIAL_SECONDS,
    State,
)
from facade.registries.circuit_breaker import FAILURES_TO_OPEN, CircuitBreaker
from facade.registries.failing_paths import (
    DIGESTS_OF_A_DEVICE,
    DIGESTS_TO_OPEN,
    FAILURES_OF_A_DIGEST,
    MAX_DIGESTS_OF_ONE_DEVICE,
    REMEMBERED_SECONDS,
    SUSPECT_SECONDS,
    CircuitOpenError,
    DeviceFailingError,
    DigestFailingError,
    Question,
)
from shared.oci import Digest, Kind, RepositoryName
from shared.upstream.errors import (
    NotInRegistryError,
    ServerError,
    UpstreamError,
    UpstreamTimeoutError,
)
from shared.upstream.transport import Method
from tests.support.clock import Clock
from tests.unit.facade.registries.failures import at_registry, unreached

APP = RepositoryName.parse("team/app")
SILENCE = at_registry(UpstreamTimeoutError("silence"))
ERROR = at_registry(ServerError(500))


def asked(name: str, device: str = "one", kind: Kind = Kind.BLOB) -> Question:
    """Return a question for a digest by name."""
    return Question(kind, APP, Digest.of(name.encode()), device=device)


def pull(breaker: CircuitBreaker, question: Question, error: UpstreamError | None = None) -> bool:
    """Ask as a device does, door first; tell whether the registry was asked."""
    try:
        breaker.require_willing(question)
        with breaker.attempt(question):
            if error is not None:
                raise error
    except CircuitOpenError:
        return False
    except UpstreamError:
        pass  # the error that was given
    return True


def asked_upstream(
    breaker: CircuitBreaker, clock: Clock, questions: list[Question], seconds: int
) -> int:
    """Have devices ask ten times a second what always fails; return how often upstream was."""
    count = 0
    for _ in range(seconds * 10):
        count += sum(pull(breaker, each, ERROR) for each in questions)
        clock.advance(0.1)
    return count


def is_open(breaker: CircuitBreaker) -> bool:
    """Tell whether it is open now; for mypy, that may be another answer than a line before."""
    return breaker.is_open


def unwell(clock: Clock, kind: Kind = Kind.BLOB) -> CircuitBreaker:
    """Return the breaker of a registry that failed at several digests of several devices."""
    breaker = CircuitBreaker(clock)
    for number in range(DIGESTS_TO_OPEN + 1):
        assert pull(breaker, asked(f"bad {number}", f"device {number}", kind), ERROR)
    assert breaker.is_open
    return breaker


@pytest.mark.parametrize("error", [ERROR, SILENCE])
def test_one_path_that_fails_stops_that_path_alone(error: UpstreamError) -> None:
    """Its own device gets everything else, and so do all others. It opened everybody's circuit."""
    clock = Clock()
    breaker = CircuitBreaker(clock)
    for _ in range(FAILURES_OF_A_DIGEST):
        assert pull(breaker, asked("bad"), error)
    with pytest.raises(DigestFailingError) as refused:
        breaker.require_willing(asked("bad"))
    assert 0 < refused.value.retry_after <= FIRST_WAIT_SECONDS
    with pytest.raises(DigestFailingError), breaker.attempt(asked("bad", "two")):
        pytest.fail("it was asked")
    for device in ("one", "two"):
        assert pull(breaker, asked(f"good of {device}", device))
    assert pull(breaker, evolve(asked("bad"), repository=RepositoryName.parse("team/other")))
    assert not breaker.is_open


def test_many_devices_that_ask_for_one_bad_path_do_not_stop_the_registry() -> None:
    """A whole fleet is told of a damaged manifest."""
    clock = Clock()
    breaker = CircuitBreaker(clock)
    fleet = [asked("bad", f"device {number}", Kind.MANIFEST) for number in range(100)]
    assert asked_upstream(breaker, clock, fleet, seconds=60) < 12
    assert not breaker.is_open
    assert pull(breaker, asked("good", "device 7", Kind.MANIFEST))


def test_one_device_with_many_bad_paths_is_stopped_alone() -> None:
    """However many, and for however long: a site with one device does not hammer either."""
    clock = Clock()
    breaker = CircuitBreaker(clock)
    paths = [asked(f"bad {number}") for number in range(200)]
    assert asked_upstream(breaker, clock, paths, seconds=60) < DIGESTS_OF_A_DEVICE + 12
    with pytest.raises(DeviceFailingError):
        breaker.require_willing(asked("good"))
    assert not breaker.is_open
    assert pull(breaker, asked("good", "two"))


def test_a_device_that_was_stopped_goes_on_when_it_is_given_something() -> None:
    """At the latest after the longest wait, and a long trial."""
    clock = Clock()
    breaker = CircuitBreaker(clock)
    asked_upstream(breaker, clock, [asked(f"bad {number}") for number in range(9)], seconds=60)
    clock.advance(MAX_WAIT_SECONDS)
    assert pull(breaker, asked("good"))
    assert pull(breaker, asked("another"))


def test_two_devices_with_bad_paths_of_their_own_do_not_stop_the_registry() -> None:
    """Without either of them there is too little left that fails."""
    breaker = CircuitBreaker(Clock())
    for number in range(50):
        pull(breaker, asked(f"bad {number}", "one"), ERROR)
    for number in range(DIGESTS_TO_OPEN - 1):
        pull(breaker, asked(f"bad too {number}", "two"), ERROR)
    assert not breaker.is_open


@pytest.mark.parametrize("kind", Kind)
def test_several_digests_of_several_devices_open_it_for_that_kind(kind: Kind) -> None:
    """Its blob storage may be dead, and its manifests not."""
    told: list[str | None] = []
    breaker = CircuitBreaker(Clock(), told.append)
    for number in range(DIGESTS_TO_OPEN + 1):
        assert not breaker.is_open
        pull(breaker, asked(f"bad {number}", f"device {number}", kind), ERROR)
    assert breaker.is_open
    assert told == [f"the registry failed at several {kind.value} of several devices"]
    assert not pull(breaker, asked("good", "fresh", kind))
    other = next(each for each in Kind if each is not kind)
    assert pull(breaker, asked("good", "fresh", other))
    assert breaker.is_open


def test_what_was_given_between_failures_starts_anew() -> None:
    """A registry that gives is not unwell as a whole."""
    breaker = CircuitBreaker(Clock())
    for number in range(50):
        pull(breaker, asked(f"bad {number}", f"device {number}"), ERROR)
        if number % DIGESTS_TO_OPEN == 0:
            assert pull(breaker, asked("good", "fresh"))
    assert not breaker.is_open


def test_failures_of_long_ago_do_not_count() -> None:
    """One in an hour is nobody's outage."""
    clock = Clock()
    breaker = CircuitBreaker(clock)
    for number in range(50):
        pull(breaker, asked(f"bad {number}", f"device {number}"), ERROR)
        clock.advance(REMEMBERED_SECONDS)
    assert not breaker.is_open


def test_a_real_pull_closes_it_and_nothing_else() -> None:
    """`GET /v2/`, HEAD and 404 are answered while a blob storage is dead."""
    clock = Clock()
    breaker = unwell(clock)
    clock.advance(FIRST_WAIT_SECONDS)
    assert pull(breaker, evolve(asked("good", "fresh"), method="HEAD"))
    assert is_open(breaker)
    assert pull(breaker, asked("missing", "fresh too"), at_registry(NotInRegistryError("x")))
    assert is_open(breaker)
    assert pull(breaker, asked("good", "as fresh"))
    assert not is_open(breaker)
    assert pull(breaker, asked("another", "device 0"))


def test_one_at_a_time_tries_and_more_seldom_while_it_fails() -> None:
    """A thousand devices whose digests never failed must not be the trial."""
    clock = Clock()
    breaker = unwell(clock)
    numbers = itertools.count()
    tries = 0
    for _ in range(600):
        tries += sum(
            pull(breaker, asked(f"fresh {next(numbers)}", f"fresh {next(numbers)}"), ERROR)
            for _ in range(10)
        )
        clock.advance(0.1)
    assert tries <= 10
    clock.advance(FIRST_WAIT_SECONDS)
    with ExitStack() as stack:
        clock.advance(MAX_WAIT_SECONDS)
        stack.enter_context(breaker.attempt(asked("slow", "slow")))
        assert not pull(breaker, asked("good", "fresh"))
        clock.advance(TRIAL_SECONDS)
        assert pull(breaker, asked("good", "fresh"))
        assert not breaker.is_open


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("error", [ERROR, at_registry(NotInRegistryError("x"))])
def test_who_fails_or_asks_in_vain_does_not_take_the_others_trial(
    method: Method, error: UpstreamError
) -> None:
    """One device asks in a loop whenever it may, always for another digest; it kept it open."""
    clock = Clock()
    breaker = unwell(clock)
    numbers = itertools.count()
    for _ in range(300):
        for _ in range(8):
            question = evolve(asked(f"own {next(numbers)}", "attacker"), method=method)
            pull(breaker, question, error)
        clock.advance(0.1)
    clock.advance(MAX_WAIT_SECONDS)
    pull(breaker, evolve(asked("own", "attacker"), method=method), error)
    assert pull(breaker, asked("good", "victim"))
    assert not breaker.is_open


def test_where_all_digests_failed_they_are_tried_all_the_same() -> None:
    """A small site has no others. Each by its own wait, and together once in a second."""
    clock = Clock()
    breaker = unwell(clock)
    site = [asked(f"bad {number}", f"device {number}") for number in range(DIGESTS_TO_OPEN + 1)]
    assert asked_upstream(breaker, clock, site, seconds=60) <= 60 / SUSPECT_SECONDS
    clock.advance(MAX_WAIT_SECONDS)
    assert any(pull(breaker, each) for each in site)
    assert not breaker.is_open


def test_a_device_that_leaves_in_a_trial_does_not_end_it_for_all() -> None:
    """Cancellation says nothing of the registry."""
    clock = Clock()
    breaker = unwell(clock)
    clock.advance(FIRST_WAIT_SECONDS)
    with suppress(KeyboardInterrupt), breaker.attempt(asked("good", "leaves")):
        raise KeyboardInterrupt
    assert pull(breaker, asked("good", "fresh"))


def test_what_is_remembered_is_bounded_and_one_device_pushes_out_its_own() -> None:
    """Digests are what a device names."""
    clock = Clock()
    breaker = CircuitBreaker(clock)
    paths = breaker._paths[Kind.BLOB]  # noqa: SLF001 - the bound
    pull(breaker, asked("of another", "another"), ERROR)
    for number in range(2 * MAX_DIGESTS_OF_ONE_DEVICE):
        with suppress(ServerError), breaker.attempt(asked(f"bad {number}")):
            raise ERROR
    assert len(paths._paths) == MAX_DIGESTS_OF_ONE_DEVICE + 1  # noqa: SLF001 - the bound
    assert asked("of another").path in paths._paths  # noqa: SLF001 - what is kept


_OUTCOMES = {
    "given": None,
    "500": ERROR,
    "silence": SILENCE,
    "404": at_registry(NotInRegistryError("x")),
    "unreached": unreached(),
    "left": KeyboardInterrupt(),
}
_QUESTIONS = st.builds(
    Question,
    st.sampled_from(Kind),
    st.just(APP),
    st.integers(0, 11).map(lambda number: Digest.of(bytes([number]))),
    st.sampled_from(["GET", "HEAD"]),
    st.sampled_from(["one", "two", "three", "four"]),
)
_VICTIM = asked("never failed", "victim")


class Breaker(RuleBasedStateMachine):
    """Devices ask, at once and one after another, and are answered in any way."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.told: list[str | None] = []
        self.breaker = CircuitBreaker(self.clock, self.told.append)
        self.under_way: list[tuple[Question, ExitStack]] = []
        self.failed_of: set[str] = set()  # devices, since anybody was given something
        self.unreached = 0

    @rule(question=_QUESTIONS, at_door=st.booleans())
    def ask(self, question: Question, *, at_door: bool) -> None:
        """Begin a request, if it is let through."""
        stack = ExitStack()
        with suppress(CircuitOpenError):
            if at_door:
                self.breaker.require_willing(question)
            stack.enter_context(self.breaker.attempt(question))
            self.under_way.append((question, stack))

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 100), outcome=st.sampled_from(sorted(_OUTCOMES)))
    def end(self, which: int, outcome: str) -> None:
        """End a request."""
        question, stack = self.under_way.pop(which % len(self.under_way))
        if outcome in ("500", "silence"):
            self.failed_of.add(question.device)
        if outcome == "unreached":
            self.unreached += 1
        error = _OUTCOMES[outcome]
        stack.__exit__(type(error) if error else None, error, None)

    @precondition(lambda self: self.breaker.needs_probe)
    @rule(answered=st.booleans())
    def probe(self, *, answered: bool) -> None:
        """Ask `GET /v2/`."""
        with suppress(UpstreamError), self.breaker.probe():
            if not answered:
                raise unreached()
            self.unreached = 0

    @rule(seconds=st.sampled_from([0.1, 1.0, TRIAL_SECONDS, MAX_WAIT_SECONDS, 300.0]))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)

    @invariant()
    def what_is_told_is_so(self) -> None:
        """Whether it is open, each change once."""
        assert bool(self.told and self.told[-1]) == self.breaker.is_open
        assert all(one != other for one, other in itertools.pairwise(map(bool, self.told)))

    @invariant()
    def one_device_stops_nobody_else(self) -> None:
        """Whatever it asks for, and however that fails, short of a registry that is not reached."""
        if len(self.failed_of) <= 1 and self.unreached < FAILURES_TO_OPEN:
            self.breaker.require_willing(_VICTIM)

    @invariant()
    def nobody_is_refused_for_ever(self) -> None:
        """Who never failed may ask at the latest when the longest wait is over."""
        before = self.clock.now
        self.clock.advance(MAX_WAIT_SECONDS + TRIAL_SECONDS)
        self.breaker.require_willing(_VICTIM)
        self.clock.now = before

    @invariant()
    def closed_is_closed(self) -> None:
        """An open state has a wait, and a closed one has none."""
        for paths in self.breaker._paths.values():  # noqa: SLF001 - the machine itself
            circuit = paths.everybody
            assert circuit.state is not State.CLOSED or not circuit.left


TestBreaker = Breaker.TestCase
TestBreaker.settings = settings(max_examples=60, stateful_step_count=40)
