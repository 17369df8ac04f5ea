"""Answers that begin without waiting: small manifests in memory, stored blobs in the page cache.

This is the way around parser and response objects, which cost more than all decisions together, and
mostly around tasks. The decisions are the same as for every pull, and are made for each request:
the gate, the slots, the right to read, the pace. What is not at hand, and what is refused, is left
to `PullHandler`, which decides again and gives the answer.
"""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final

from attrs import frozen

from facade.answers.distribution_errors import PullRefusedError
from facade.content.piece_size import SMALL_BYTES
from facade.content.source import Content
from facade.devices.device_connection import DeviceConnection
from facade.metrics.metrics import FacadeMetrics
from facade.metrics.pull_metrics import PullSource
from facade.pulls.begun_blob import BegunBlob
from facade.pulls.device_requests import DeviceRequests
from facade.pulls.gate import Gate
from facade.pulls.known_pull import KnownPull
from facade.pulls.pull_slots import PullSlots
from facade.pulls.remembered_requests import RememberedRequests
from facade.pulls.request_log import RequestLog, RequestRecord
from facade.registries.connection_work import ConnectionWork
from facade.values.authorized_pull import AuthorizedPull
from shared.oci import OCTET_STREAM, Kind

_OK: Final = HTTPStatus.OK.value  # the log shows plain numbers


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
    _work: ConnectionWork

    def __call__(self, connection: DeviceConnection, head: bytes) -> bytes | BegunBlob | None:
        """Return what is to be given to a request; None if `PullHandler` has to answer it.

        Of a larger blob, what could be given at once is given already.
        """
        known = self._requests.get(head)
        if known is None:
            return None
        record, now = RequestRecord(known.method, connection.peer, known=known), datetime.now(UTC)
        try:
            record.device = device = self._gate.identify_device(connection, now)
            if not self._slots.is_free(device.id):
                return None
            record.connection = approved = self._gate.authorize(known.pull, device, now)
        except PullRefusedError:  # `PullHandler` asks the same gate again, and tells the device
            return None
        asked = AuthorizedPull(known.pull, approved)
        answer = self._manifest if known.pull.kind is Kind.MANIFEST else self._blob
        return answer(record, known, asked, connection, device.id)

    def _manifest(
        self,
        record: RequestRecord,
        known: KnownPull,
        asked: AuthorizedPull,
        connection: DeviceConnection,
        device: str,
    ) -> bytes | None:
        manifest = self._content.manifest_nowait(asked)
        if manifest is None or not self._device_requests.may_ask(connection, device):
            return None
        content, record.source = manifest.content, PullSource.MEMORY
        head = known.answer_head(manifest.media_type, len(content), record.request_id)
        return self._whole(record, known, head, b"" if record.method == "HEAD" else content)

    def _blob(
        self,
        record: RequestRecord,
        known: KnownPull,
        asked: AuthorizedPull,
        connection: DeviceConnection,
        device: str,
    ) -> bytes | BegunBlob | None:
        pieces = self._content.blob_nowait(asked, connection.room_now)
        if pieces is None:
            return None
        if not self._device_requests.may_ask(connection, device):
            pieces.close()
            return None
        record.source = PullSource.STORE
        head = known.answer_head(OCTET_STREAM, pieces.left, record.request_id)
        if pieces.left <= SMALL_BYTES and pieces.is_next_last:
            content = bytes(pieces.next_nowait() or b"")
            pieces.close()
            return self._whole(record, known, head, content)
        self._slots.take_nowait(device)  # one is free
        self._metrics.answered_at_once.counts[()] += 1
        blob = BegunBlob(
            pieces,
            connection,
            device,
            asked.connection,
            record,
            self._slots,
            self._work,
            self._request_log,
        )
        return blob if blob.begin(head) else b""

    def _whole(self, record: RequestRecord, known: KnownPull, head: bytes, content: bytes) -> bytes:
        record.body_bytes = len(content)
        self._metrics.pulls.sent(known.pull.kind, len(content))
        self._metrics.answered_at_once.counts[()] += 1
        self._request_log.tell(record, _OK)
        return head + content
