"""How many streams bring one blob: it begins with one, and has more as long as that pays. Pure.

Registries and their stores slow each connection down, and a long link needs several windows; then
two bring more than one. On a link that others fill, or where the facade itself is what is waited
for, they bring no more, and each is a connection that the registry bears. So it is tried:

               more may pay                 it paid
    STEADY ──────────────────► TRYING ───────────────────► STEADY, with more
      ▲ │                        │
      │ │ it pays no more        │ it did not pay
      │ ▼                        ▼
      RESTING ◄──────────────────┘   with as many as paid, for a while, each time for longer;
                                     with one, from any state, if a stream was refused or broke

    NARROWED: one alone, to the end of the blob. From any state, if more can do no good.

Everything that changes the state is `look`, `rest` and `narrow`.

What pays: the blob comes faster by at least half of what so many more streams would bring at the
pace of those before; and the registry's other blobs do not lose by it half of what it gains. A
stream that waits for one of the registry's places is not tried yet, however long it waits.
"""

from enum import Enum, auto
from typing import Final

from attrs import define, field, frozen

from facade.arrivals.further_segments import LEAST_SEGMENT_BYTES

MOST_STREAMS: Final = 4
WINDOW_SECONDS: Final = 0.2
WINDOW_BYTES: Final = 1024 * 1024  # less says little, because it comes in reads of 64 KiB
LONGEST_WINDOW_SECONDS: Final = 2.0
TRIAL_SECONDS: Final = 2.0  # and two windows: a new connection finds its pace in some round trips
LONGEST_TRIAL_SECONDS: Final = 10.0  # until all that are tried have brought a byte
REVIEW_WINDOWS: Final = 10  # in a row, each of them slower than it should be
REST_SECONDS: Final = 30.0  # the first time; then twice as long
MOST_REST_SECONDS: Final = 240.0
LEAST_COME_BYTES: Final = 2 * 1024 * 1024  # before a second stream begins
LEAST_LEFT_BYTES: Final = 32 * 1024 * 1024  # of the blob, or another stream is not worth trying
LEAST_GAIN: Final = 0.5  # of what so many more streams would bring
MOST_TAKEN: Final = 0.5  # of that, from other blobs
LEAST_SLACK: Final = 0.25  # of the time, streams wait for the registry while the facade is idle


class GrowthState(Enum):
    """What is being found out about one blob's streams."""

    STEADY = auto()
    TRYING = auto()
    RESTING = auto()
    NARROWED = auto()


@frozen
class GrowthTerms:
    """When there is another stream, and when it pays."""

    most: int = MOST_STREAMS
    window_seconds: float = WINDOW_SECONDS
    window_bytes: int = WINDOW_BYTES
    least_come: int = LEAST_COME_BYTES
    least_left: int = LEAST_LEFT_BYTES
    least_gain: float = LEAST_GAIN  # 0: another stream always pays
    least_slack: float = LEAST_SLACK
    least_segment: int = LEAST_SEGMENT_BYTES
    rest_seconds: float = REST_SECONDS  # the first one


@define
class Rest:
    """For how long something is not tried again: each time twice as long, up to a bound."""

    first_seconds: float = REST_SECONDS
    _next: float = field(init=False)
    _until: float = field(default=0.0, init=False)  # seconds, monotonic

    def __attrs_post_init__(self) -> None:
        """Begin with the first."""
        self.succeed()

    def begin(self, now: float) -> None:
        """Rest from now on."""
        self._until = now + self._next
        self._next = min(2 * self._next, MOST_REST_SECONDS)

    def lasts(self, now: float) -> bool:
        """Tell whether it is not to be tried yet."""
        return now < self._until

    def succeed(self) -> None:
        """Let the next one be as short as the first, because it was tried, and did good."""
        self._next = self.first_seconds


@frozen
class Seen:
    """What was seen of a blob's streams, from its beginning up to a moment."""

    at: float  # seconds, monotonic
    come: int  # bytes of the blob
    others: int  # bytes of the registry's other blobs
    left: int  # bytes of the blob that have not come
    begun: int  # streams that have brought a byte and go on
    slack: float  # seconds that streams waited for the registry while the facade was idle
    is_limited: bool = False  # whether our own limit of bandwidth makes it wait
    waits: bool = False  # for a place of the registry's spare streams


@frozen
class _Rates:
    """Bytes a second within a window."""

    own: float
    others: float
    slack: float  # of the time


@define(eq=False)
class StreamGrowth:
    """How many streams one blob is to have."""

    _terms: GrowthTerms = field(factory=GrowthTerms)
    state: GrowthState = field(default=GrowthState.STEADY, init=False)
    wanted: int = field(default=1, init=False)  # streams
    rate: float = field(default=0.0, init=False)  # bytes a second of one stream, in the last window
    _bases: list[tuple[int, _Rates]] = field(factory=list, init=False)  # what fewer streams brought
    _step: int = field(default=1, init=False)  # how many more are tried
    _since: Seen | None = field(default=None, init=False)  # the beginning of the window
    _tried_at: float = field(default=0.0, init=False)  # since when more are tried, or have begun
    _have_begun: bool = field(default=False, init=False)  # those that are being tried
    _windows: int = field(default=0, init=False)  # in a row that did not pay
    _rest: Rest = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Begin with one."""
        self._rest = Rest(self._terms.rest_seconds)

    def narrow(self) -> None:
        """Go on with one stream to the end."""
        self.state, self.wanted = GrowthState.NARROWED, 1
        self._bases.clear()

    def rest(self, now: float) -> None:
        """Go on with one stream for a while, because another one was refused or broke."""
        if self.state is not GrowthState.NARROWED:
            self._go_on_with(1, now)
            self._bases.clear()

    def look(self, seen: Seen) -> None:
        """Decide by what was seen since the last look."""
        if self.state is GrowthState.NARROWED or self._terms.most <= 1:
            return
        if self.state is GrowthState.TRYING and not self._have_begun and seen.begun >= self.wanted:
            self._have_begun, self._since, self._tried_at = True, seen, seen.at
        if self._since is None:
            self._since = seen
        rates = self._rates_since(self._since, seen)
        if rates is None:
            return
        self._since, self.rate = seen, rates.own / max(1, seen.begun)
        if seen.is_limited and rates.others and self.wanted > 1:
            self._give_back(seen.at)
        elif self.state is GrowthState.TRYING:
            self._judge(rates, seen)
        else:
            self._go_on(rates, seen)

    def _rates_since(self, since: Seen, seen: Seen) -> _Rates | None:
        """Return the rates of a window that is long enough."""
        seconds, come = seen.at - since.at, seen.come - since.come
        is_long = seconds >= LONGEST_WINDOW_SECONDS
        if seconds < self._terms.window_seconds or not seconds:
            return None
        if come < self._terms.window_bytes and not is_long:
            return None
        others, slack = seen.others - since.others, seen.slack - since.slack
        return _Rates(come / seconds, others / seconds, slack / seconds)

    def _go_on(self, rates: _Rates, seen: Seen) -> None:
        """Try more, or give back what pays no more."""
        if self._bases and seen.begun >= self.wanted and not self._pays(rates):
            self._windows += 1
            if self._windows >= REVIEW_WINDOWS:
                self._give_back(seen.at)
            return
        self._windows = 0
        if self.state is GrowthState.RESTING and self._rest.lasts(seen.at):
            return
        self.state = GrowthState.STEADY
        if self._may_grow(rates, seen):
            self._bases.append((self.wanted, rates))
            self.wanted = min(self._terms.most, self.wanted + self._step)
            self.state, self._tried_at, self._have_begun = GrowthState.TRYING, seen.at, False
            self._windows = 0

    def _may_grow(self, rates: _Rates, seen: Seen) -> bool:
        return (
            self.wanted < self._terms.most
            and seen.begun >= self.wanted
            and seen.come >= self._terms.least_come
            and seen.left >= self._terms.least_left
            and rates.slack >= self._terms.least_slack
            and not seen.is_limited
        )

    def _judge(self, rates: _Rates, seen: Seen) -> None:
        """Keep those that are being tried if they pay; give them back if they do not in time."""
        if not self._have_begun:
            self._await(rates, seen)
        elif self._pays(rates):
            self.state, self._windows, self._step = GrowthState.STEADY, 0, self.wanted
            self._rest.succeed()
            self._go_on(rates, seen)  # perhaps to twice as many
        else:
            self._windows += 1
            if self._windows > 1 and seen.at - self._tried_at >= TRIAL_SECONDS:
                self._give_back(seen.at)

    def _await(self, rates: _Rates, seen: Seen) -> None:
        """Give those back that do not begin in time; go on without those that find no place."""
        fewer, _ = self._bases[-1]
        if seen.waits and seen.begun <= fewer:
            self._bases[-1], self._tried_at = (fewer, rates), seen.at
        elif seen.at - self._tried_at < LONGEST_TRIAL_SECONDS:
            return
        elif seen.waits:
            self.wanted = seen.begun
        else:
            self._give_back(seen.at)

    def _pays(self, rates: _Rates) -> bool:
        """Tell whether the streams bring enough more than fewer of them did."""
        if not self._terms.least_gain:
            return True
        fewer, before = self._bases[-1]
        added = (self.wanted - fewer) / fewer
        gained, taken = rates.own - before.own, before.others - rates.others
        is_gain = gained >= before.own * self._terms.least_gain * added
        return is_gain and taken <= MOST_TAKEN * gained

    def _give_back(self, now: float) -> None:
        """Go on with as many as paid."""
        fewer, _ = self._bases.pop()
        self._go_on_with(fewer, now)

    def _go_on_with(self, fewer: int, now: float) -> None:
        self.state, self.wanted = GrowthState.RESTING, fewer
        self._windows, self._step = 0, 1
        self._rest.begin(now)
