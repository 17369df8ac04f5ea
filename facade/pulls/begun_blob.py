"""A stored blob on its way to a device, past aiohttp: its beginning at once, its rest in a task.

    begin() ---- the kernel takes all of it in this turn of the loop ----> told of, closed
       |                                                                        ^
       '-- it does not --> give_rest(), in a task, at the device's pace --------'

It has its device's slot and its open file until then.
"""

from asyncio import CancelledError
from http import HTTPStatus

from attrs import define, field

from facade.content.source import PiecesAtHand
from facade.devices.device_connection import DeviceConnection
from facade.pulls.pull_slots import PullSlots
from facade.pulls.relay import AnswerDelivery
from facade.pulls.request_log import RequestLog, RequestRecord
from facade.registries.connection_work import ConnectionWork
from shared.approved_connection import ApprovedConnection
from shared.oci import Kind


@define(eq=False)
class BegunBlob:
    """The answer with a whole stored blob. Its device has a slot, which this gives back."""

    _pieces: PiecesAtHand
    _connection: DeviceConnection
    _device: str
    _approved: ApprovedConnection
    _record: RequestRecord
    _slots: PullSlots
    _work: ConnectionWork
    _request_log: RequestLog
    _delivery: AnswerDelivery = field(init=False)
    _is_closed: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        """Count what is given."""
        counted = self._request_log.counting(self._record, Kind.BLOB)
        self._delivery = AnswerDelivery(self._connection, counted)

    def begin(self, head: bytes) -> bool:
        """Give what can be given at once; tell whether something is left for `give_rest`."""
        try:
            self._delivery.begin(head, self._pieces)
            if not self._delivery.is_over(self._pieces):
                return True
            self._delivery.require_open()
        except ConnectionResetError as left:
            self._end(self._record.note_failure(left))
        except BaseException as mistake:
            self._end(self._record.note_failure(mistake))
            raise
        else:
            self._end(HTTPStatus.OK)
        return False

    async def give_rest(self) -> None:
        """Give the rest. Raises `ConnectionError` and `PullAbortedError`; then it is reset."""
        status: int | None = None
        try:
            with self._delivery.watched(), self._work.running(self._approved):
                await self._delivery.give(self._pieces)
            status = HTTPStatus.OK
        except BaseException as failure:
            status = self._record.note_failure(failure)
            raise
        finally:
            self._end(status)

    def close(self) -> None:
        """Let go of the file and the slot, if `give_rest` never began: the device has left."""
        if not self._is_closed:
            self._end(self._record.note_failure(CancelledError()))

    def _end(self, status: int | None) -> None:
        """Let go of everything, once. Raises `OSError` if the file does not close; only then."""
        self._is_closed = True
        try:
            self._pieces.close()
        finally:
            self._slots.give_back(self._device)
            self._request_log.tell(self._record, None if status is None else int(status))
