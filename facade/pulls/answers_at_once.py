"""Answers that need no waiting: small manifests that are in memory.

This is the way around tasks, parser and response objects, which cost more than all decisions
together. The decisions are the same as for every pull, and are made for each request: the gate, the
slots, the right to read. What is not in memory, and what is refused, is left to `PullHandler`,
which decides again and gives the answer.
"""

from http import HTTPStatus

from attrs import frozen

from facade.answers.distribution_errors import PullRefusedError
from facade.content.manifest import VerifiedManifest
from facade.content.source import Content
from facade.devices.device_connection import DeviceConnection
from facade.metrics.metrics import FacadeMetrics
from facade.metrics.pull_metrics import PullSource
from facade.pulls.device_requests import DeviceRequests
from facade.pulls.gate import Gate
from facade.pulls.known_pull import KnownPull
from facade.pulls.pull_slots import PullSlots
from facade.pulls.remembered_requests import RememberedRequests
from facade.pulls.request_log import RequestLog, RequestRecord
from facade.values.authorized_pull import AuthorizedPull
from facade.values.pull_path import Pull


@frozen
class AnswersAtOnce:
    """Answers requests that `PullHandler` has answered before, from memory."""

    _requests: RememberedRequests
    _gate: Gate
    _slots: PullSlots
    _content: Content
    _request_log: RequestLog
    _metrics: FacadeMetrics
    _device_requests: DeviceRequests

    def __call__(self, connection: DeviceConnection, head: bytes) -> bytes | None:
        """Return the whole answer to a request's head; None if `PullHandler` has to answer it."""
        known = self._requests.get(head)
        if known is None:
            return None
        record = RequestRecord(known.method, connection.peer, known=known)
        try:
            manifest = self._manifest(record, known.pull, connection)
        except PullRefusedError:  # `PullHandler` asks the same gate again, and tells the device
            return None
        return None if manifest is None else self._answer(record, known, manifest)

    def _manifest(
        self, record: RequestRecord, pull: Pull, connection: DeviceConnection
    ) -> VerifiedManifest | None:
        record.device = device = self._gate.identify_device(connection)
        if not self._slots.is_free(device.id):
            return None
        record.connection = approved = self._gate.authorize(pull, device)
        manifest = self._content.manifest_nowait(AuthorizedPull(pull, approved))
        if manifest is None or not self._device_requests.may_ask(connection, device.id):
            return None
        return manifest

    def _answer(self, record: RequestRecord, known: KnownPull, manifest: VerifiedManifest) -> bytes:
        content = manifest.content
        head = known.manifest_head(manifest.media_type, len(content), record.request_id)
        if record.method == "HEAD":
            content = b""
        record.body_bytes, record.source = len(content), PullSource.MEMORY
        self._metrics.pulls.sent(known.pull.kind, len(content))
        self._metrics.answered_at_once.counts[()] += 1
        self._request_log.tell(record, HTTPStatus.OK.value)  # the log shows plain numbers
        return head + content
