"""Silence and 5xx of one registry, for one kind of content or list: what they concern, and who may
ask.

A failing path may concern nothing else: it is a damaged manifest, say, which a device may ask for
as often as it likes. So failures stop as few requests as they can:

1. *The digest* in its repository, after `FAILURES_OF_A_DIGEST` in a row.
2. *The device*, after failures for `DIGESTS_OF_A_DEVICE` digests without a success between them: a
   site with one device does not hammer a registry that is unwell.
3. *Everybody*, if `DIGESTS_TO_OPEN` digests failed even when any one device is left out: then it
   is the registry that is unwell. Manifests and blobs count separately, because a registry whose
   blob storage is dead still gives manifests.

Each stop is a circuit of its own (see `circuit.py`). Everybody's closes when the registry gives
something to a GET, because `GET /v2/` and HEAD are answered even while its blob storage is dead.
One device at a time tries, with a digest that did not fail. It must be a device whose own requests
did not fail, and that has not tried in vain. Every other device tries by its own circuit; all of
them together try once in `SUSPECT_SECONDS`.
"""

from collections.abc import Callable, Hashable
from typing import Any, Final

from attrs import define, field, frozen

from facade.registries.circuit import Circuit
from shared.bounded_map import BoundedMap
from shared.oci import Digest, ReadRoute, RepositoryName
from shared.upstream.errors import UpstreamError
from shared.upstream.transport import Method

FAILURES_OF_A_DIGEST: Final = 3  # a single one may be a bad node's
DIGESTS_OF_A_DEVICE: Final = 3
DIGESTS_TO_OPEN: Final = 3  # without those of any one device
SUSPECT_SECONDS: Final = 1.0
REMEMBERED_SECONDS: Final = 120.0  # a silent registry fails once a minute
MAX_DIGESTS: Final = 4096  # of one connection and kind, some 700 bytes each
MAX_DIGESTS_OF_ONE_DEVICE: Final = 256  # it pushes out its own
MAX_DEVICES: Final = 4096  # of one connection and kind, some 700 bytes each
MAX_EVIDENCE: Final = 512  # digests that each failure looks through
MAX_EVIDENCE_OF_ONE_DEVICE: Final = 64  # it pushes out its own


class CircuitOpenError(UpstreamError):
    """The registry failed several times, and is not asked now."""

    def __init__(
        self,
        retry_after: float,
        message: str = "the registry failed repeatedly and is not asked at the moment",
    ) -> None:
        """Say in how many seconds it may be asked again."""
        super().__init__(message)
        self.retry_after = retry_after


class DigestFailingError(CircuitOpenError):
    """The registry failed several times at this digest, and is not asked for it now."""

    def __init__(self, retry_after: float) -> None:
        """Say in how many seconds it may be asked again."""
        super().__init__(retry_after, "the registry failed repeatedly at this digest")


class DeviceFailingError(CircuitOpenError):
    """The registry failed at several digests that this device asked for. The device has to wait."""

    def __init__(self, retry_after: float) -> None:
        """Say in how many seconds it may ask again."""
        super().__init__(retry_after, "the registry failed at several digests of this device")


@frozen
class Question:
    """What a registry is asked, and for which device; empty: nobody in particular."""

    kind: ReadRoute
    repository: RepositoryName
    digest: Digest
    method: Method = "GET"
    device: str = ""

    @property
    def path(self) -> Hashable:
        """What may fail by itself. HEAD is apart, because some registries cannot answer it."""
        return self.repository, self.digest, self.method


@frozen
class Admitted:
    """A request that was let through, and of which circuits it is the trial."""

    question: Question
    of_digest: int | None
    of_everybody: int | None


@define(eq=False)
class _Path:
    circuit: Circuit
    failures: int = 0  # in a row


@define(eq=False)
class _Device:
    circuit: Circuit
    digests: set[Digest] = field(factory=set)  # that failed since it was given something
    trial: int | None = None  # that is under way


@define(eq=False)
class FailingPaths:
    """What failed lately, of one registry and one kind of content."""

    _clock: Callable[[], float]
    everybody: Circuit = field(init=False)
    _paths: BoundedMap[Hashable, _Path] = field(init=False)
    _devices: BoundedMap[str, _Device] = field(init=False)
    _failing: BoundedMap[Digest, frozenset[str]] = field(init=False)  # and of two who asked for it
    _suspects_at: float = field(default=float("-inf"), init=False)  # the next of them may try

    def __attrs_post_init__(self) -> None:
        """Begin with nothing that failed."""
        self.everybody = Circuit(self._clock)
        self._paths = _remembering(MAX_DIGESTS, MAX_DIGESTS_OF_ONE_DEVICE, self._clock)
        self._devices = _remembering(MAX_DEVICES, MAX_DEVICES, self._clock)
        self._failing = _remembering(MAX_EVIDENCE, MAX_EVIDENCE_OF_ONE_DEVICE, self._clock)

    @property
    def remembers_some(self) -> bool:
        """Whether anything failed lately, or is not asked by everybody."""
        remembered = self._paths, self._devices, self._failing
        return self.everybody.is_open or any(len(each) for each in remembered)

    def require_willing(self, question: Question) -> None:
        """Raise `CircuitOpenError` if the question would not be asked now. This begins no trial."""
        path = self._paths.get(question.path)
        if path is not None and path.circuit.left:
            raise DigestFailingError(path.circuit.left)
        if self.everybody.is_open and (left := self._left_of_everybody(question)):
            raise CircuitOpenError(left)

    def require_device(self, question: Question) -> None:
        """Raise `DeviceFailingError` if the device has to wait; after its wait, begin its trial.

        It is asked once for each pull, for the device that begins a request, not for those who
        share it.
        """
        device = self._devices.get(question.device)
        if device is None:
            return
        if left := device.circuit.left:
            raise DeviceFailingError(left)
        device.trial = device.circuit.begin()

    def admit(self, question: Question) -> Admitted:
        """Let a request begin; raise `CircuitOpenError`."""
        self.require_willing(question)
        of_everybody = None
        if not self._is_suspect(question):
            of_everybody = self.everybody.begin()
        elif self.everybody.is_open:
            self._suspects_at = self._clock() + SUSPECT_SECONDS
        path = self._paths.get(question.path)
        return Admitted(question, path.circuit.begin() if path else None, of_everybody)

    def failed(self, admitted: Admitted) -> None:
        """Note silence or 5xx."""
        question = admitted.question
        self._note_path(admitted)
        devices = self._failing.get(question.digest) or frozenset()
        if len(devices) < 2:  # noqa: PLR2004 - whichever device is left out, another is there
            devices |= {question.device}
        self._failing.set(question.digest, devices, owner=question.device)
        if admitted.of_everybody is not None:
            self.everybody.failed(admitted.of_everybody)
        elif not self.everybody.is_open and self._is_of_everybody():
            self.everybody.open()
        device = self._device(question.device)
        if len(device.digests) < DIGESTS_OF_A_DEVICE:
            device.digests.add(question.digest)
        if len(device.digests) >= DIGESTS_OF_A_DEVICE or self.everybody.is_open:
            _have_wait(device)

    def gave(self, question: Question) -> None:
        """Note that the registry gave what a GET asked for, or the beginning of it."""
        self._paths.pop(question.path)
        self._failing.clear()
        self._devices.pop(question.device)
        self.everybody.worked()

    def said_nothing(self, admitted: Admitted) -> None:
        """Note that a request ended that neither gave anything nor failed."""
        question = admitted.question
        path = self._paths.get(question.path)
        if admitted.of_digest is not None and path is not None:
            path.circuit.said_nothing(admitted.of_digest)
        if admitted.of_everybody is not None:
            self.everybody.said_nothing(admitted.of_everybody)
        if self.everybody.is_open:  # a device that tries in vain does not keep others from trying
            _have_wait(self._device(question.device))

    def _left_of_everybody(self, question: Question) -> float:
        if self._is_suspect(question):
            return max(0.0, self._suspects_at - self._clock())
        return self.everybody.left

    def _is_suspect(self, question: Question) -> bool:
        """Tell whether answers to this device say little of the registry as a whole."""
        if question.method == "HEAD":
            return True
        return question.digest in self._failing or question.device in self._devices

    def _is_of_everybody(self) -> bool:
        """Tell whether enough digests failed even if any one device is left out."""
        devices_of = [devices for digest in self._failing if (devices := self._failing.get(digest))]
        return all(
            sum(1 for devices in devices_of if devices - {left_out}) >= DIGESTS_TO_OPEN
            for left_out in frozenset[str]().union(*devices_of)
        )

    def _note_path(self, admitted: Admitted) -> None:
        question = admitted.question
        path = self._paths.get(question.path) or _Path(Circuit(self._clock))
        self._paths.set(question.path, path, owner=question.device)
        path.failures += 1
        if admitted.of_digest is not None:
            path.circuit.failed(admitted.of_digest)
        elif path.failures >= FAILURES_OF_A_DIGEST:
            path.circuit.open()

    def _device(self, name: str) -> _Device:
        device = self._devices.get(name) or _Device(Circuit(self._clock))
        self._devices.set(name, device)
        return device


def _have_wait(device: _Device) -> None:
    if device.trial is None:
        device.circuit.open()
    else:
        device.circuit.failed(device.trial)
        device.trial = None


def _remembering(size: int, share: int, clock: Callable[[], float]) -> BoundedMap[Any, Any]:
    return BoundedMap(
        size, seconds=REMEMBERED_SECONDS, is_jittered=True, max_share=share, clock=clock
    )
