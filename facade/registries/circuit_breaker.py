"""A registry that is away or unwell is not asked by every device: the breaker of one connection.

Pure, with the clock given. `counted_failures` lists what counts; `circuit` is the state machine,
with a drawing. Of a body, only endless framing counts, because it follows headers that promise
something. Each of these circuits stops as few requests as it can:

| what failed | stops | closed by |
|---|---|---|
| five connections in a row to the registry itself, TLS included | everybody | any HTTP answer |
| one digest: silence, 5xx, framing without an end | who asks for that digest | a GET of it |
| several digests of one device | that device | what is given to it |
| digests of several devices | everybody, for manifests or for blobs | what is given to anybody |

While the registry cannot be reached, the facade itself asks `GET /v2/` before the next pull, one at
a time: no device chooses that path. The other three are in `failing_paths`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from attrs import define, field

from facade.registries.circuit import FIRST_WAIT_SECONDS, Circuit, State
from facade.registries.counted_failures import (
    Failure,
    failure_of,
    is_answer,
    is_answer_to_probe,
)
from facade.registries.failing_paths import Admitted, CircuitOpenError, FailingPaths, Question
from shared.oci import Kind, ReadRoute
from shared.upstream.errors import UpstreamError

__all__ = ["FAILURES_TO_OPEN", "CircuitBreaker", "CircuitOpenError", "Question"]

FAILURES_TO_OPEN: Final = 5  # connections in a row
# So many bytes of a body count as something given. Endless framing brings fewer before it is broken
# off: in chunks of 4 bytes, the longest of that kind, 256 KiB.
GIVEN_BYTES: Final = 512 * 1024

_STANDING: Final = {State.CLOSED: 0, State.TRYING: 1, State.OPEN: 2}
_UNREACHED: Final = "the registry could not be reached several times in a row"
_UNWELL: Final = "the registry failed at several {kind} of several devices"


@define(eq=False)
class Attempt:
    """One request that was let through. `body_follows`: only its body shows what it was given."""

    admitted: Admitted
    body_follows: bool = False
    _given: int = field(default=0, init=False)

    def is_given(self, count: int) -> bool:
        """Count bytes of the body; tell whether they are enough to count as something given."""
        self._given += count
        return self._given >= GIVEN_BYTES


@define(eq=False)
class CircuitBreaker:
    """What is known of one connection's registry."""

    _clock: Callable[[], float]
    _tell: Callable[[str | None], None] = lambda _: None  # why nobody asks; None: all may again
    _reach: Circuit = field(init=False)
    _unreached: int = field(default=0, init=False)  # in a row
    _paths: dict[ReadRoute, FailingPaths] = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Begin with a registry that is well."""
        self._reach = Circuit(self._clock)
        self._paths = {kind: FailingPaths(self._clock) for kind in Kind}

    @property
    def is_open(self) -> bool:
        """Whether there is something that nobody asks for, or only a trial."""
        return self._reach.is_open or any(each.everybody.is_open for each in self._paths.values())

    @property
    def standing(self) -> int:
        """The worst state for everybody: 0 all ask, 1 one request tries, 2 nobody asks."""
        return max(
            _STANDING[each.state]
            for each in (self._reach, *(paths.everybody for paths in self._paths.values()))
        )

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing failed lately, so that everybody may ask for everything."""
        return not (
            self._reach.is_open
            or self._unreached
            or any(each.remembers_some for each in self._paths.values())
        )

    def require_willing(self, question: Question) -> None:
        """Raise `CircuitOpenError` if the question would not be asked now.

        It is asked once for each pull that begins a request, because that may be the trial for
        which the pull's device has waited.
        """
        self._require_reachable()
        paths = self._paths_of(question.kind)
        paths.require_willing(question)
        paths.require_device(question)

    @property
    def needs_probe(self) -> bool:
        """Whether the registry could not be reached: then `probe` comes before `attempt`."""
        return self._reach.is_open

    @contextmanager
    def probe(self) -> Iterator[None]:
        """Guard a `GET /v2/` of the facade's own; any HTTP answer to it closes the circuit.

        Raises `CircuitOpenError` if it is too early, or if one is under way.
        """
        self._require_reachable()
        trial = self._reach.begin()
        try:
            yield
        except Exception as error:
            self._note_probe(trial, error)
            raise
        except BaseException:  # cancelled: it showed nothing
            if trial is not None:
                self._reach.said_nothing(trial)
            raise
        self._note_probe(trial, None)

    @contextmanager
    def attempt(self, question: Question) -> Iterator[Attempt]:
        """Guard one request, up to its answer's headers.

        Raises `CircuitOpenError` if it may not start. It notes how the request ends. If a body
        follows, only `came`, `failed` and `left` note that something was given.
        """
        if self._reach.is_open:  # again, since the probe
            raise CircuitOpenError(max(self._reach.left, FIRST_WAIT_SECONDS))
        attempt = Attempt(self._paths_of(question.kind).admit(question))
        try:
            yield attempt
        except Exception as error:
            self._note(attempt, error)
            raise
        except BaseException:  # the device left: it showed nothing
            self._paths[question.kind].said_nothing(attempt.admitted)
            raise
        self._note(attempt, None)

    def came(self, attempt: Attempt, count: int) -> None:
        """Note that so many bytes of an attempt's body came."""
        if attempt.body_follows and attempt.is_given(count):
            self.left(attempt)

    def left(self, attempt: Attempt) -> None:
        """Note that an attempt's body is not read any more, and did not fail."""
        if attempt.body_follows:
            attempt.body_follows = False
            self._note_body(attempt, None)

    def failed(self, attempt: Attempt, error: UpstreamError) -> None:
        """Note that an attempt's body failed in a way that counts."""
        if attempt.body_follows:
            attempt.body_follows = False
            self._note_body(attempt, error)

    def _paths_of(self, kind: ReadRoute) -> FailingPaths:
        """Return what failed of a kind. Most connections are never asked for a list."""
        paths = self._paths.get(kind)
        if paths is None:
            paths = self._paths[kind] = FailingPaths(self._clock)
        return paths

    def _require_reachable(self) -> None:
        if self._reach.is_open and (left := self._reach.left):
            raise CircuitOpenError(max(left, FIRST_WAIT_SECONDS))

    def _note_body(self, attempt: Attempt, error: UpstreamError | None) -> None:
        question, was_open = attempt.admitted.question, self.is_open
        if error is None:
            self._paths[question.kind].gave(question)
        else:
            self._paths[question.kind].failed(attempt.admitted)
        self._tell_change(question.kind, was_open=was_open)

    def _note(self, attempt: Attempt, error: Exception | None) -> None:
        admitted, was_open = attempt.admitted, self.is_open
        question = admitted.question
        paths = self._paths[question.kind]
        match failure_of(error):
            case Failure.UNREACHED:
                self._note_unreached()
                paths.said_nothing(admitted)
            case Failure.UNWELL:
                paths.failed(admitted)
            case None if error is None and attempt.body_follows:
                pass
            case None if error is None and question.method == "GET":
                paths.gave(question)
            case None:
                paths.said_nothing(admitted)
        if is_answer(error):
            self._note_reached()
        self._tell_change(question.kind, was_open=was_open)

    def _note_probe(self, trial: int | None, error: Exception | None) -> None:
        was_open = self.is_open
        if is_answer_to_probe(error):
            self._note_reached()
        elif trial is not None:
            self._reach.failed(trial)
        self._tell_change(None, was_open=was_open)

    def _note_unreached(self) -> None:
        self._unreached += 1
        if self._unreached >= FAILURES_TO_OPEN:
            self._reach.open()

    def _note_reached(self) -> None:
        self._unreached = 0
        self._reach.worked()

    def _tell_change(self, kind: ReadRoute | None, *, was_open: bool) -> None:
        if self.is_open == was_open:
            return
        if not self.is_open:
            self._tell(None)
        elif kind is None or self._reach.is_open:
            self._tell(_UNREACHED)
        else:
            self._tell(_UNWELL.format(kind=kind.value))
