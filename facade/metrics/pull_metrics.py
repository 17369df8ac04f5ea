"""What is counted of pulls: how each ended, where its bytes came from, and how many they were.

Hits and bytes saved are one division each: `docs/metrics.md` has them.
"""

from enum import StrEnum
from itertools import product
from typing import Final

from attrs import frozen
from prometheus_client import CollectorRegistry

from facade.metrics.tally import Tally
from shared.oci import Kind, Listing, ReadRoute

_CLIENT_ERRORS: Final = 400  # the first status of them
_SERVER_ERRORS: Final = 500
_ROUTES: Final = (*Kind, *Listing)


class PullSource(StrEnum):
    """Where the content of a pull's answer came from."""

    MEMORY = "memory"
    STORE = "store"
    ARRIVING = "arriving"  # another pull had begun to bring it
    UPSTREAM = "upstream"  # the registry was asked for this pull
    NONE = "none"  # there was nothing to send


class PullOutcome(StrEnum):
    """How a pull ended for its device."""

    SERVED = "served"  # 200, 206 or 304, to the end
    REFUSED = "refused"  # 4xx
    FAILED = "failed"  # 5xx
    ABORTED = "aborted"  # the answer was cut, or its device left

    @classmethod
    def of_status(cls, status: int | None) -> "PullOutcome":
        """Return what a status means; None: there was no whole answer."""
        if status is None:
            return cls.ABORTED
        if status < _CLIENT_ERRORS:
            return cls.SERVED
        return cls.REFUSED if status < _SERVER_ERRORS else cls.FAILED


class RefusedBy(StrEnum):
    """Which rule of the facade's own refused a request, whatever the registry would say."""

    NOT_CONNECTED = "not_connected"  # no approved connection covers it
    EXPIRED = "expired"  # the connection's approval has ended
    SCOPE = "scope"  # of the connection: its repositories, or its fleets
    UNIDENTIFIED = "unidentified"  # as in `facade_devices_refused_total`, with the next two
    CERTIFICATE = "certificate"
    REVOKED = "revoked"
    TURNS = "turns"  # the device pulls too much at once
    PACE = "pace"  # the device asks too fast
    ALLOWANCE = "allowance"  # the device costs registries more than it may
    STALE = "stale"  # the facade does not know what is approved
    DRAINING = "draining"
    REQUEST = "request"  # what is asked is never served: method, path, tag, version of HTTP, range


class NotAsked(StrEnum):
    """Why a pull was answered without asking the registry, though it had to be asked."""

    CIRCUIT_OPEN = "circuit_open"
    DEVICE_FAILING = "device_failing"
    DIGEST_FAILING = "digest_failing"
    MISSING = "missing"
    SEALED_SECRET = "sealed_secret"  # noqa: S105 - the reason's name
    DEVICE_BYTES = "device_bytes"
    DEVICE_DOWNLOADS = "device_downloads"
    DEVICE_MISSES = "device_misses"
    DEVICE_REQUESTS = "device_requests"
    DEVICE_TOKENS = "device_tokens"
    WRONG_BYTES = "wrong_bytes"


class SeveralRanges(StrEnum):
    """How a request for several ranges of a blob was answered, unless it was refused."""

    MULTIPART = "multipart"  # a part for each
    ONE = "one"  # only one of them begins before the blob's end
    WHOLE = "whole"  # they overlap, or are small and descend, or the blob can be read only once


class LeftOut(StrEnum):
    """Why something on a registry's list is not on ours."""

    UNREADABLE = "unreadable"  # it names no digest, or its manifest is none that clients can read
    MISSING = "missing"  # the registry does not have it
    OTHER_SUBJECT = "other_subject"  # it does not refer to what was asked about
    WRONG_BYTES = "wrong_bytes"  # the registry gives other bytes
    WITHHELD = "withheld"  # the registry's policy gives it to nobody

    @property
    def is_doubt(self) -> bool:
        """Whether it may be a referrer all the same."""
        return self in (LeftOut.WRONG_BYTES, LeftOut.WITHHELD)


def ended_labels(kind: ReadRoute, status: int | None, source: PullSource) -> tuple[str, str, str]:
    """Return what a pull that has ended is counted by.

    `status` None: it was aborted, or its device left.
    """
    outcome = PullOutcome.of_status(status)
    if outcome is PullOutcome.REFUSED or outcome is PullOutcome.FAILED:
        source = PullSource.NONE
    return kind, outcome, source


@frozen
class PullMetrics:
    """The counters of one process. They are plain integers, because each small answer counts."""

    _device_bytes: Tally
    ended: Tally  # by `ended_labels`
    _refused: Tally
    _several_ranges: Tally
    _left_out: Tally

    @classmethod
    def create(cls, registry: CollectorRegistry) -> "PullMetrics":
        """Return counters that start at zero."""
        return cls(
            Tally.create(
                registry,
                "facade_device_bytes",
                "Bytes of manifests, blobs and lists that were given to be sent to devices",
                ("kind",),
                [(kind,) for kind in _ROUTES],
            ),
            Tally.create(
                registry,
                "facade_pulls",
                "Pulls by how they ended, and where what they were answered with came from",
                ("kind", "outcome", "source"),
                product(_ROUTES, PullOutcome, PullSource),
            ),
            Tally.create(
                registry,
                "facade_refused",
                "Requests that a rule of the facade's own refused",
                ("reason",),
                [(each,) for each in RefusedBy],
            ),
            Tally.create(
                registry,
                "facade_several_ranges",
                "Answers to requests for several ranges of a blob",
                ("answer",),
                [(each,) for each in SeveralRanges],
            ),
            Tally.create(
                registry,
                "facade_referrers_left_out",
                "What registries list as referrers, and devices are not shown",
                ("why",),
                [(each,) for each in LeftOut],
            ),
        )

    def sent(self, kind: ReadRoute, count: int) -> None:
        """Count bytes of an answer that are given to be sent."""
        self._device_bytes.counts[kind,] += count

    def refused(self, by: RefusedBy) -> None:
        """Count a request that was refused."""
        self._refused.counts[by,] += 1

    def answered_ranges(self, how: SeveralRanges) -> None:
        """Count a request for several ranges that is answered."""
        self._several_ranges.counts[how,] += 1

    def left_out(self, why: LeftOut, count: int) -> None:
        """Count what is on a registry's list of referrers, and not on ours."""
        self._left_out.counts[why,] += count
