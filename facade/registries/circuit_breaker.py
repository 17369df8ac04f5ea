"""A registry that is away or unwell is not asked by every device: the breaker of one connection.

Pure, with the clock given. `counted_failures` is the list of what counts, `circuit` the state
machine, with its drawing. There are these circuits, and each stops as few as it can:

| what failed | stops | closed by |
|---|---|---|
| five connections in a row to the registry itself, TLS included | everybody | any HTTP answer |
| one digest: silence or 5xx | whoever asks for that digest | an answer to a GET of it |
| several digests of one device | that device | what is given to it |
| digests of several devices | everybody, for manifests or for blobs | what is given to anybody |

While the registry cannot be reached, the facade itself asks `GET /v2/` before the next pull, one at
a time: no device chooses that path. The other three are in `failing_paths`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from attrs import define, field

from facade.registries.circuit import FIRST_WAIT_SECONDS, Circuit
from facade.registries.counted_failures import (
    Failure,
    failure_of,
    is_answer,
    is_answer_to_probe,
)
from facade.registries.failing_paths import Admitted, CircuitOpenError, FailingPaths, Question
from shared.oci import Kind

__all__ = ["FAILURES_TO_OPEN", "CircuitBreaker", "CircuitOpenError", "Question"]

FAILURES_TO_OPEN: Final = 5  # connections in a row

_UNREACHED: Final = "the registry could not be reached several times in a row"
_UNWELL: Final = "the registry failed at several {kind} of several devices"


@define(eq=False)
class CircuitBreaker:
    """What is known of one connection's registry."""

    _clock: Callable[[], float]
    _tell: Callable[[str | None], None] = lambda _: None  # why nobody asks; None: all may again
    _reach: Circuit = field(init=False)
    _unreached: int = field(default=0, init=False)  # in a row
    _paths: dict[Kind, FailingPaths] = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Begin with a registry that is well."""
        self._reach = Circuit(self._clock)
        self._paths = {kind: FailingPaths(self._clock) for kind in Kind}

    @property
    def is_open(self) -> bool:
        """Whether something is asked by nobody, or by one that tries."""
        return self._reach.is_open or any(each.everybody.is_open for each in self._paths.values())

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing failed lately: everything is asked by everybody."""
        return not (
            self._reach.is_open
            or self._unreached
            or any(each.remembers_some for each in self._paths.values())
        )

    def require_willing(self, question: Question) -> None:
        """Raise `CircuitOpenError` if the question would not be asked now.

        Asked once before each pull that begins a request: the device of a pull that is let through
        may have been waiting for its trial, and this is it.
        """
        self._require_reachable()
        paths = self._paths[question.kind]
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
        except BaseException:  # cancelled: nobody knows more than before
            if trial is not None:
                self._reach.said_nothing(trial)
            raise
        self._note_probe(trial, None)

    @contextmanager
    def attempt(self, question: Question) -> Iterator[None]:
        """Guard one request, up to its answer's headers.

        Raises `CircuitOpenError` if it may not start. How it ends is noted.
        """
        if self._reach.is_open:  # again, since the probe
            raise CircuitOpenError(max(self._reach.left, FIRST_WAIT_SECONDS))
        admitted = self._paths[question.kind].admit(question)
        try:
            yield
        except Exception as error:
            self._note(admitted, error)
            raise
        except BaseException:  # the device left: nobody knows more than before
            self._paths[question.kind].said_nothing(admitted)
            raise
        self._note(admitted, None)

    def _require_reachable(self) -> None:
        if self._reach.is_open and (left := self._reach.left):
            raise CircuitOpenError(max(left, FIRST_WAIT_SECONDS))

    def _note(self, admitted: Admitted, error: Exception | None) -> None:
        question, was_open = admitted.question, self.is_open
        paths = self._paths[question.kind]
        match failure_of(error):
            case Failure.UNREACHED:
                self._note_unreached()
                paths.said_nothing(admitted)
            case Failure.UNWELL:
                paths.failed(admitted)
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

    def _tell_change(self, kind: Kind | None, *, was_open: bool) -> None:
        if self.is_open == was_open:
            return
        if not self.is_open:
            self._tell(None)
        elif kind is None or self._reach.is_open:
            self._tell(_UNREACHED)
        else:
            self._tell(_UNWELL.format(kind=kind.value))
