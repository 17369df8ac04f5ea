"""One request, and what the log and the metrics are told when it ends."""

import time
from asyncio import CancelledError
from collections.abc import Callable
from functools import lru_cache
from typing import Final
from uuid import UUID

from attrs import define, field, frozen

from facade.answers.answer_headers import new_request_id
from facade.answers.distribution_errors import INTERNAL, DeviceRefusal
from facade.answers.repeated_refusals import RefusalKind, RepeatedRefusals
from facade.devices.aborted_pull import PullAbortedError
from facade.devices.presented_device import PresentedDevice
from facade.metrics.metrics import FacadeMetrics
from facade.metrics.pull_metrics import PullSource, RefusedBy
from facade.pulls.known_pull import KnownPull
from facade.pulls.named import Named
from facade.values.device_identity import DeviceIdentity
from shared.approved_connection import ApprovedConnection
from shared.oci import Kind, Listing, ReadRoute
from shared.structured_log import (
    Logger,
    RenderedFields,
    RepeatedLine,
    get_logger,
    rendered_fields,
)

FIRST_REFUSAL: Final = 400  # of the statuses
LEFT: Final = "the device left, or its connection was cut"
CHEAP: Final = (PullSource.MEMORY, PullSource.STORE)  # hits that cost upstream nothing
ABORTED: Final = "the answer was aborted"  # counted in place of the reason, which has numbers in it
REMEMBERED_PAIRS: Final = 8192  # devices with the connections that they use, some 400 bytes each
_SOURCES: Final = {source: rendered_fields(source=source) for source in PullSource}
_log = get_logger("facade.pull")


@frozen
class RefusedDevice:
    """A device that is refused whatever it asks, with what it can be found by."""

    presented: PresentedDevice
    code: DeviceRefusal


@define(eq=False)
class RequestRecord:
    """One request and what is known of it so far."""

    method: str
    peer: str | None = None  # the network address of who asks
    request_id: str = field(factory=new_request_id)
    started: float = field(factory=time.perf_counter)
    device: DeviceIdentity | None = None
    known: KnownPull | None = None
    named: Named | None = None  # of a request that is no pull: what it names
    listing: Listing | None = None  # of a request for a list about a digest
    connection: ApprovedConnection | None = None
    refused: RefusedDevice | None = None
    refused_by: RefusedBy | None = None  # the facade's own rule that refused it, if one did
    source: PullSource = PullSource.NONE  # of what a pull is answered with
    reason: str = ""
    body_bytes: int = 0  # of content that were given to be sent

    def note_failure(self, failure: BaseException) -> int | None:
        """Note why the request has no answer of its own; return the status that it has instead."""
        if isinstance(failure, PullAbortedError):
            self.reason = str(failure)
        elif isinstance(failure, ConnectionError | CancelledError):
            self.reason = LEFT
        elif isinstance(failure, Exception):
            return int(INTERNAL.status)
        return None  # the answer was aborted

    @property
    def route(self) -> ReadRoute | None:
        """What is pulled or listed; None if a request is neither."""
        return self.known.pull.kind if self.known is not None else self.listing


@define(eq=False)
class RequestLog:
    """Tells of every request once: make it after the log was configured.

    `sample_hits`: of so many cheap hits one has a line, which says so. What is refused, aborted or
    cost upstream something has one in any case.
    """

    _metrics: FacadeMetrics
    _sample_hits: int = 1
    _clock: Callable[[], float] = time.monotonic  # of how often a device's refusals are told
    _hits: int = field(default=0, init=False)
    _log: Logger = field(factory=_log.bind, init=False)
    _served: RepeatedLine = field(init=False)  # a whole answer, about which nothing is odd
    _refusals: RepeatedRefusals = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Put repeated lines together. Counters start at zero: a rate needs that value."""
        for code in DeviceRefusal:
            self._metrics.devices.refused.labels(code.value)
        self._refusals = RepeatedRefusals(self._tell_together, clock=self._clock)
        self._served = RepeatedLine.of(
            self._log,
            "answered",
            {"status": int, "bytes": int, "duration_ms": float},
            outcome="answered",
            reason="",
        )

    def counting(
        self,
        record: RequestRecord,
        kind: Kind,
        content_in: Callable[[int], int] = lambda given: given,
    ) -> Callable[[int], None]:
        """Return a counter of bytes given to be sent, which counts while an answer takes hours.

        `content_in`: how many of such bytes are content.
        """
        sent = self._metrics.pulls.sent

        def count(given: int) -> None:
            content = content_in(given)
            record.body_bytes += content
            sent(kind, content)

        return count

    def tell(self, record: RequestRecord, status: int | None) -> None:
        """Tell of a request that has ended; `status` None: its answer was aborted."""
        seconds = time.perf_counter() - record.started
        is_whole = status is not None and status < FIRST_REFUSAL
        source = record.source if is_whole or status is None else PullSource.NONE
        self._metrics.answered(status, record.route, source, seconds)
        if not is_whole and not self._is_refusal_told(record, status):
            return
        is_sampled = self._sample_hits > 1 and is_whole and source in CHEAP
        if is_sampled and not self._is_next():
            return
        rendered = (_whose(record).members, _SOURCES[source].members, _what(record).members)
        request_id, milliseconds = record.request_id, seconds * 1000
        if is_whole and not (is_sampled or record.reason):
            self._served.write(
                request_id, (status or 0, record.body_bytes, milliseconds), *rendered
            )
            return
        fields: dict[str, object] = {
            "bytes": record.body_bytes,
            "duration_ms": milliseconds,
            "reason": record.reason,
            "rendered": RenderedFields(b"".join(rendered)),
        }
        if is_sampled:
            fields["sampled"] = self._sample_hits
        if record.refused is not None:
            fields.update(record.refused.presented.claims)
        if status is None:
            self._log.info("aborted", request_id=request_id, outcome="aborted", **fields)
        else:
            self._log.info(
                "answered", request_id=request_id, status=status, outcome="answered", **fields
            )

    def _is_refusal_told(self, record: RequestRecord, status: int | None) -> bool:
        """Count what refused or ended a request; tell whether it has a line of its own."""
        if record.refused_by is not None:
            self._metrics.pulls.refused(record.refused_by)
        whose, refused = record.device.id if record.device else None, record.refused
        if refused is not None:
            self._metrics.devices.refused.labels(refused.code.value).inc()
            whose = whose or refused.presented.counts_as
        return whose is None or self._refusals.is_told(_kind(record, status, whose))

    def _is_next(self) -> bool:
        """Count a cheap hit; tell whether it is the one that stands for the next ones."""
        self._hits += 1
        return self._hits % self._sample_hits == 1

    def _tell_together(self, kind: RefusalKind, count: int) -> None:
        told = {"device": kind.device, "reason": kind.reason, "count": count}
        if kind.status is None:
            self._log.info("aborted again", outcome="aborted", **told)
        else:
            self._log.info("refused again", status=kind.status, outcome="answered", **told)


def _kind(record: RequestRecord, status: int | None, device: str) -> RefusalKind:
    """Return what a refused or aborted request is counted as."""
    if status is None:
        return RefusalKind(device, None, LEFT if record.reason == LEFT else ABORTED)
    return RefusalKind(device, status, record.reason)


def _whose(record: RequestRecord) -> RenderedFields:
    """Return who asked, from where, and through which connection."""
    device, connection = record.device, record.connection
    if device is None:
        return _between(None, None, record.peer, None)
    return _between(device.id, device.fleet, record.peer, connection.id if connection else None)


@lru_cache(REMEMBERED_PAIRS)
def _between(
    device: str | None, fleet: str | None, peer: str | None, connection: UUID | None
) -> RenderedFields:
    return rendered_fields(device=device, fleet=fleet, peer=peer, connection=connection)


def _what(record: RequestRecord) -> RenderedFields:
    """Return what was asked for. What is refused is mostly not asked again: it is not kept."""
    method, named = record.method, record.named
    if record.known is not None:
        return record.known.log_fields
    if named is None:
        return rendered_fields(method=method, host=None, repository=None, kind=None, digest=None)
    return rendered_fields(
        method=method,
        host=named.host,
        repository=named.repository,
        kind=record.listing or named.kind,
        digest=named.digest,
        reference=named.reference,
    )
