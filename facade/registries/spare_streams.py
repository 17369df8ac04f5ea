"""The streams that one registry gives beyond the first of each blob. They go round by device.

Each blob has one stream without asking here; so nothing ever waits for a spare one. Further ones
take a place each, for one segment. When all are taken, the next that gets free goes to the device
that has the fewest, of these to the one that has waited for the longest.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Final

from attrs import define, field

MAX_SPARE_STREAMS: Final = 32  # of one registry: it bears them beside all else that is asked
# After an answer that did not fit the others, until another blob of this registry is tried with
# several streams: its proxy, or one of its nodes, may be mended by then.
DOUBTED_SECONDS: Final = 600.0

Wake = Callable[[], None]


@define(eq=False)
class SpareStreams:
    """Those of one registry. For one event loop."""

    _clock: Callable[[], float]
    _most: int = MAX_SPARE_STREAMS
    _tell: Callable[[int], None] = field(default=lambda _: None)  # how many more are taken now
    taken: int = field(default=0, init=False)
    come: int = field(default=0, init=False)  # bytes of blobs, by whichever streams
    _held: Counter[str] = field(factory=Counter[str], init=False)  # by device
    # By device, the one whose turn was the longest ago first.
    _waiting: OrderedDict[str, OrderedDict["SpareClaim", None]] = field(
        factory=OrderedDict, init=False
    )
    _doubted_until: float = field(default=float("-inf"), init=False)

    @property
    def are_doubted(self) -> bool:
        """Whether answers of this registry did not fit each other a short while ago."""
        return self._clock() < self._doubted_until

    @property
    def waiting(self) -> int:
        """How many blobs wait for a place."""
        return sum(map(len, self._waiting.values()))

    def note_come(self, count: int) -> None:
        """Note that so many bytes of a blob have come, by whichever stream."""
        self.come += count

    def doubt(self) -> None:
        """Note that an answer did not fit the others of its blob."""
        self._doubted_until = self._clock() + DOUBTED_SECONDS

    def claim(self, device: str, wake: Wake) -> "SpareClaim":
        """Return what takes places for one blob; `wake` is told when one is there for it."""
        return SpareClaim(self, device, wake)

    def take(self, claim: "SpareClaim") -> bool:
        """Take a place; False if there is none now, and it has to wait for its turn."""
        if self.taken < self._most and not self._waiting:
            self._note(claim.device, 1)
            return True
        self._waiting.setdefault(claim.device, OrderedDict())[claim] = None
        return False

    def leave(self, claim: "SpareClaim") -> None:
        """Wait no more."""
        waiting = self._waiting.get(claim.device)
        if waiting is not None:
            waiting.pop(claim, None)
            if not waiting:
                del self._waiting[claim.device]

    def has_waiting(self, claim: "SpareClaim") -> bool:
        """Tell whether it waits for its turn."""
        return claim in self._waiting.get(claim.device, ())

    def give_back(self, device: str) -> None:
        """Let the next one have a place."""
        self._note(device, -1)
        while self._waiting and self.taken < self._most:
            self._give_next()

    def _give_next(self) -> None:
        device = min(self._waiting, key=self._held.__getitem__)
        claim = next(iter(self._waiting[device]))
        self.leave(claim)
        if device in self._waiting:
            self._waiting.move_to_end(device)
        self._note(device, 1)
        claim.be_given()

    def _note(self, device: str, more: int) -> None:
        self.taken += more
        self._held[device] += more
        if not self._held[device]:
            del self._held[device]
        self._tell(more)


@define(eq=False)
class SpareClaim:
    """The places of one blob, on behalf of the device that pays for it."""

    _streams: SpareStreams
    device: str
    _wake: Wake
    _given: int = field(default=0, init=False)  # places that wait for it

    @property
    def is_waiting(self) -> bool:
        """Whether it has found no place, and its turn has not come."""
        return self._streams.has_waiting(self)

    def take(self) -> bool:
        """Take a place for a stream; if there is none, `wake` is told once there is."""
        if self._given:
            self._given -= 1
            return True
        return self._streams.take(self)

    def give_back(self) -> None:
        """Give back the place of a stream that has ended."""
        self._streams.give_back(self.device)

    def be_given(self) -> None:
        """Have a place, which is its turn's."""
        self._given += 1
        self._wake()

    def stop_waiting(self) -> None:
        """Want no more places than are taken."""
        self._streams.leave(self)
        while self._given:
            self._given -= 1
            self._streams.give_back(self.device)
