"""A device's connection: real sockets, real TLS, and a protocol that takes notes."""

import asyncio
import contextlib
import random
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL
from typing_extensions import override

from facade.devices.cork import QUIET_TURNS
from facade.devices.device_transport import TURN_BYTES, UNSENT_BYTES
from tests.support.device_socket import End, fill_kernel
from tests.support.eventually import eventually, some_turns
from tests.support.leftovers import leftovers
from tests.support.noted_connections import Connection, Connections, DeviceTls, Notes
from tests.support.tls_records import (
    ALERT,
    APPLICATION_DATA,
    CLOSE_NOTIFY,
    HANDSHAKE,
    KEY_UPDATE,
    KEY_UPDATE_REQUESTED,
)

PIECE = 64 * 1024  # what the facade writes at once
RECORD = 16 * 1024  # the most of TLS
SOON = 0.05  # seconds, instead of those that a device has to take the rest
BOTH_VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


def some_bytes(count: int) -> bytes:
    """Return bytes of which no two places look alike."""
    return random.randbytes(count)  # noqa: S311 - no secret


async def write_until_it_waits(connection: Connection) -> bytes:
    """Write to a device that does not read; return what was written."""
    written = b""
    while not connection.transport.get_write_buffer_size():
        written += (piece := some_bytes(PIECE))
        connection.transport.write(piece)
    for _ in range(3):  # turns of the loop
        await asyncio.sleep(0)
    assert connection.notes.is_paused
    return written


async def fill(connection: Connection) -> int:
    """Have the kernel take nothing more for the device; return how much the device skips."""
    connection.transport.write(b"x")  # read with all that was sent before it, tickets for example
    await asyncio.to_thread(connection.device.read_exactly, 1)
    return await fill_kernel(connection.accepted)


async def test_what_the_kernel_is_said_to_take_at_once_it_takes(connections: Connections) -> None:
    """Nothing of it waits here, though the device reads nothing; then, or once it is closed: no.

    What is on its way to the device does not count.
    """
    made = await connections.connect()
    given = 0
    while made.transport.room_now() >= PIECE:
        made.transport.write(some_bytes(PIECE))
        assert made.transport.get_write_buffer_size() == 0
        given += PIECE
    assert given > UNSENT_BYTES - PIECE
    await write_until_it_waits(made)
    assert made.transport.room_now() == 0
    made.transport.abort()
    assert made.transport.room_now() == 0


@BOTH_VERSIONS
async def test_what_is_written_together_comes_in_order_whatever_its_size(
    connections: Connections, version: ssl.TLSVersion
) -> None:
    """A head, and what may be too much to be copied behind it."""
    made = await connections.connect(version=version)
    for sizes in ((7, 0), (7, 100), (700, RECORD), (700, 5 * PIECE + 1), (0, 0), (RECORD, 1, 9)):
        parts = [some_bytes(size) for size in sizes]
        made.transport.writelines(parts)
        assert await asyncio.to_thread(made.device.read_exactly, sum(sizes)) == b"".join(parts)
    assert not made.notes.lost


@BOTH_VERSIONS
async def test_bytes_go_both_ways(connections: Connections, version: ssl.TLSVersion) -> None:
    """Of whatever length; a write of nothing sends nothing."""
    made = await connections.connect(version=version)
    for size in (1, RECORD - 1, RECORD + 1, 3 * PIECE):
        asked, answer = some_bytes(size), some_bytes(size)
        made.notes.received.clear()
        await asyncio.to_thread(made.device.send, asked)
        assert await made.notes.until_received(size) == asked
        made.transport.write(b"")
        made.transport.write(answer)
        assert await asyncio.to_thread(made.device.read_exactly, size) == answer
    assert not made.notes.lost


async def test_records_that_come_together_are_all_received(
    connections: Connections, tmp_path: Path
) -> None:
    """The socket is silent behind the last of them: none may wait in OpenSSL for more to come."""
    made, writer = await connections.connect_writer(tmp_path)
    contents = [some_bytes(size) for size in (1, RECORD, 5, 0, RECORD, 7)]
    records = [writer.record(content, APPLICATION_DATA) for content in contents]
    await asyncio.to_thread(made.device.socket.sendall, b"".join(records))
    whole = b"".join(contents)
    assert await made.notes.until_received(len(whole)) == whole


async def test_a_record_that_comes_byte_by_byte_is_received_once(
    connections: Connections, tmp_path: Path
) -> None:
    """OpenSSL asks for more in its middle."""
    made, writer = await connections.connect_writer(tmp_path)
    for byte in writer.record(b"slow", APPLICATION_DATA):
        await asyncio.to_thread(made.device.socket.sendall, bytes([byte]))
        await asyncio.sleep(0)
    assert await made.notes.until_received(4) == b"slow"
    assert not made.notes.lost


async def test_nothing_is_received_while_reading_is_paused(connections: Connections) -> None:
    """Also where it was paused at the very beginning; what waited comes afterwards, once."""

    class PausedAtFirst(Notes):
        @override
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.transport.pause_reading()

    made = await connections.connect(PausedAtFirst())
    for received in (b"", b"first"):
        await asyncio.to_thread(made.device.send, b"first")
        made.transport.write(b"x")  # an answer on another way: the bytes have arrived before it
        await asyncio.to_thread(made.device.read_exactly, 1)
        await asyncio.sleep(SOON)
        assert bytes(made.notes.received) == received
        made.transport.resume_reading()
        made.transport.resume_reading()
        assert await made.notes.until_received(len(received) + 5) == received + b"first"
        made.transport.pause_reading()
        made.transport.pause_reading()


def unchanging_view(buffer: bytearray) -> memoryview:
    """Return a view of a copy, which waits as it is."""
    return memoryview(bytes(buffer))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, unchanging_view])
async def test_a_buffer_may_change_once_it_was_written(
    connections: Connections, kind: Callable[[bytearray], bytes | bytearray | memoryview]
) -> None:
    """What waits is a copy: OpenSSL has begun the record, and is to be given the same again."""
    made = await connections.connect(reads_late=True)
    written = b""
    while made.transport.get_write_buffer_size() <= PIECE:  # one that is begun, and one more
        buffer = bytearray(some_bytes(PIECE))
        written += buffer
        made.transport.write(kind(buffer))
        buffer[:] = bytes(PIECE)
    assert await asyncio.to_thread(made.device.read_exactly, len(written)) == written


async def test_a_protocol_that_stops_when_told_has_one_write_waiting(
    connections: Connections,
) -> None:
    """That is all that a device which stopped costs; it is told when to go on."""
    made = await connections.connect(reads_late=True)
    written = await write_until_it_waits(made)
    assert made.transport.get_write_buffer_size() == PIECE
    reading = asyncio.create_task(asyncio.to_thread(made.device.read_exactly, len(written)))
    await made.notes.until_not_paused()
    assert made.transport.get_write_buffer_size() == 0
    assert await reading == written


async def test_a_protocol_that_does_not_stop_loses_nothing(connections: Connections) -> None:
    """As asyncio's own transports: what waits is kept, in order."""
    made = await connections.connect(reads_late=True)
    written = await write_until_it_waits(made)
    for _ in range(5):
        written += (piece := some_bytes(3000))
        made.transport.write(piece)
    assert made.transport.get_write_buffer_size() == PIECE + 5 * 3000
    assert await asyncio.to_thread(made.device.read_exactly, len(written)) == written
    await made.notes.until_not_paused()


def is_corked(connection: Connection) -> bool:
    """Tell whether the kernel keeps back what makes no full packet."""
    return bool(connection.accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_CORK))


async def test_records_leave_in_full_packets_while_there_are_more(
    connections: Connections,
) -> None:
    """And the last of them do not wait: a few turns without a write, and nothing is kept back."""
    made = await connections.connect()
    assert made.accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    made.transport.write(some_bytes(RECORD))
    assert not is_corked(made)  # one record: nothing to put together
    for _ in range(3):
        made.transport.write(some_bytes(RECORD + 1))
        for _ in range(QUIET_TURNS):
            assert is_corked(made)
            await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not is_corked(made)
    await asyncio.to_thread(made.device.read_exactly, RECORD + 3 * (RECORD + 1))
    made.transport.write(some_bytes(PIECE))
    made.transport.abort()  # while it is kept back
    await made.notes.until_lost()


async def test_the_end_of_an_answer_leaves_in_the_turn_in_which_it_is_given(
    connections: Connections,
) -> None:
    """Among hundreds of devices that read, a turn of the loop takes tens of milliseconds."""
    made = await connections.connect()
    for _ in range(2):
        made.transport.write(some_bytes(RECORD + 1))
        assert is_corked(made)
        made.transport.end_answer()
        assert not is_corked(made)


async def test_an_end_that_waits_for_the_device_leaves_when_it_reads(
    connections: Connections,
) -> None:
    """Until then it makes full packets with what is before it."""
    made = await connections.connect(reads_late=True)
    written = await write_until_it_waits(made)
    made.transport.end_answer()
    assert is_corked(made)
    assert await asyncio.to_thread(made.device.read_exactly, len(written)) == written
    await eventually(lambda: not is_corked(made))


async def test_the_end_of_what_waited_is_not_kept_back(connections: Connections) -> None:
    """While the device takes nothing there is more to send; then there is not."""
    made = await connections.connect(reads_late=True)
    written = await write_until_it_waits(made)
    assert is_corked(made)
    assert await asyncio.to_thread(made.device.read_exactly, len(written)) == written
    await eventually(lambda: not is_corked(made))


async def test_a_device_that_takes_everything_lets_others_have_their_turn(
    connections: Connections,
) -> None:
    """Writing is paused before the kernel is full, and goes on in the loop's next turn."""
    made = await connections.connect()
    count = 0
    while not made.notes.is_paused:
        made.transport.write(bytes(PIECE))
        count += 1
    assert count <= TURN_BYTES // PIECE
    reading = asyncio.create_task(asyncio.to_thread(made.device.read_exactly, count * PIECE))
    await made.notes.until_not_paused()
    assert await reading == bytes(count * PIECE)


async def test_keys_may_be_updated_while_a_write_waits(
    connections: Connections, tmp_path: Path
) -> None:
    """RFC 8446, section 4.6.3: at any time; the answer to it comes behind the record begun."""
    made, writer = await connections.connect_writer(tmp_path, reads_late=True)
    written = await write_until_it_waits(made)
    writer.update_keys()
    writer.send(b"by new keys")
    assert await made.notes.until_received(11) == b"by new keys"
    written += (piece := some_bytes(PIECE))
    made.transport.write(piece)
    assert await asyncio.to_thread(made.device.read_exactly, len(written)) == written
    assert not made.notes.lost


@pytest.mark.parametrize("is_closed", [False, True])
async def test_a_key_update_is_answered_once_the_kernel_takes_it(
    connections: Connections, tmp_path: Path, *, is_closed: bool
) -> None:
    """Until then nothing more is read; the connection goes on, or closes as it should."""
    made, writer = await connections.connect_writer(tmp_path, reads_late=True)
    skipped = await fill(made)
    writer.update_keys()
    writer.update_keys()  # before this one OpenSSL wants to have answered the first
    writer.send(b"behind them")
    await eventually(lambda: made.notes.is_paused)
    assert made.notes.received == b""
    if is_closed:
        made.transport.close()
    await asyncio.to_thread(made.device.skip, skipped)
    if is_closed:
        assert await asyncio.to_thread(made.device.read_to_end) == (b"", End.GOODBYE)
        return
    assert await made.notes.until_received(11) == b"behind them"
    made.transport.write(b"answer")
    assert await asyncio.to_thread(made.device.read_exactly, 6) == b"answer"


async def test_reading_stays_paused_when_a_late_answer_is_sent(
    connections: Connections, tmp_path: Path
) -> None:
    """The protocol's wish counts, and the loop's watching is not it."""
    made, writer = await connections.connect_writer(tmp_path, reads_late=True)
    skipped = await fill(made)
    writer.update_keys()
    writer.update_keys()
    writer.send(b"behind them")
    await eventually(lambda: made.notes.is_paused)
    made.transport.pause_reading()
    await asyncio.to_thread(made.device.skip, skipped)
    await made.notes.until_not_paused()
    await asyncio.sleep(SOON)
    assert made.notes.received == b""
    made.transport.resume_reading()
    assert await made.notes.until_received(11) == b"behind them"


async def test_a_part_of_a_key_update_ends_the_connection_that_writes(
    connections: Connections, tmp_path: Path
) -> None:
    """OpenSSL would read the rest of it before it writes: the loop was seen to try without end."""
    made, writer = await connections.connect_writer(tmp_path)
    writer.send(KEY_UPDATE[:4], HANDSHAKE)
    await asyncio.sleep(SOON)
    assert not made.notes.lost
    made.transport.write(b"x")
    assert isinstance(await made.notes.until_lost(), ConnectionResetError)


@pytest.mark.parametrize("message", [KEY_UPDATE, KEY_UPDATE_REQUESTED])
async def test_a_flood_of_key_updates_ends_the_connection(
    connections: Connections, tmp_path: Path, message: bytes
) -> None:
    """OpenSSL takes one after the other in one call, and nobody else has a turn meanwhile."""
    made, writer = await connections.connect_writer(tmp_path)
    few = b"".join(writer.key_update(message) for _ in range(50))
    await asyncio.to_thread(made.device.socket.sendall, few)
    writer.send(b"still here")
    assert await made.notes.until_received(10) == b"still here"
    many = b"".join(writer.key_update(message) for _ in range(1000))
    writer_is_cut = asyncio.to_thread(send_until_cut, made.device.socket, many)
    await asyncio.gather(writer_is_cut, made.notes.until_lost())
    assert made.notes.received == b"still here"


async def test_a_flood_of_empty_records_ends_the_connection(
    connections: Connections, tmp_path: Path
) -> None:
    """OpenSSL reads on until one has something in it; it bears some of them."""
    made, writer = await connections.connect_writer(tmp_path)
    many = b"".join(writer.record(b"", APPLICATION_DATA) for _ in range(1000))
    await asyncio.gather(
        asyncio.to_thread(send_until_cut, made.device.socket, many), made.notes.until_lost()
    )


async def test_close_delivers_all_that_was_written(connections: Connections) -> None:
    """And then says goodbye; with the device's own the connection is gone, once, without error."""
    made = await connections.connect(reads_late=True)
    written = await write_until_it_waits(made)
    made.transport.close()
    made.transport.write(b"after the close")
    assert made.transport.is_closing()
    assert await asyncio.to_thread(made.device.read_to_end) == (written, End.GOODBYE)
    assert not made.notes.lost
    made.device.socket.close()
    assert await made.notes.until_lost() is None
    made.transport.close()
    made.transport.abort()
    await asyncio.sleep(SOON)
    assert made.notes.lost == [None]
    assert made.accepted.fileno() == -1


async def test_what_a_device_says_after_the_close_is_not_heard(connections: Connections) -> None:
    """It is read, for the device's goodbye is behind it, though the protocol wants no more."""
    made = await connections.connect(close_seconds=60)
    made.transport.close()
    made.transport.pause_reading()
    assert await asyncio.to_thread(made.device.read, 1) == b""
    await asyncio.to_thread(made.device.send, b"late" * PIECE)
    made.device.socket.close()
    assert await made.notes.until_lost() is None
    assert made.notes.received == b""


async def test_a_device_that_takes_nothing_is_reset_some_time_after_the_close(
    connections: Connections,
) -> None:
    """It gets a part without an end, which cannot look whole."""
    made = await connections.connect(reads_late=True, close_seconds=SOON)
    written = await write_until_it_waits(made)
    made.transport.close()
    assert await made.notes.until_lost() is None
    received, end = await asyncio.to_thread(made.device.read_to_end)
    assert end is End.RESET
    assert written.startswith(received)
    assert len(received) < len(written)


async def test_a_device_that_says_no_goodbye_still_has_everything(connections: Connections) -> None:
    """The connection ends here; the kernel goes on delivering."""
    made = await connections.connect(close_seconds=SOON)
    made.transport.write(written := some_bytes(2 * PIECE))
    made.transport.close()
    assert await made.notes.until_lost() is None
    assert await asyncio.to_thread(made.device.read_to_end) == (written, End.GOODBYE)
    await asyncio.sleep(2 * SOON)
    assert made.notes.lost == [None]


async def test_nothing_is_delivered_after_abort(connections: Connections) -> None:
    """Neither what waits here nor what is in the kernel; also while it is closing."""
    for is_closing in (False, True):
        made = await connections.connect(reads_late=True)
        written = await write_until_it_waits(made)
        if is_closing:
            made.transport.close()
        made.transport.abort()
        made.transport.write(b"after the abort")
        made.transport.abort()
        assert made.transport.get_write_buffer_size() == 0
        assert made.transport.get_extra_info("peername") is None
        assert not made.notes.lost  # the protocol is told in the loop's next turn
        assert await made.notes.until_lost() is None
        received, end = await asyncio.to_thread(made.device.read_to_end)
        assert end is End.RESET
        assert len(received) < len(written)
        assert written.startswith(received)
        assert made.accepted.fileno() == -1
        assert made.notes.lost == [None]


@pytest.mark.parametrize("says_goodbye", [True, False])
async def test_a_device_that_leaves_gets_what_was_written(
    connections: Connections, tmp_path: Path, *, says_goodbye: bool
) -> None:
    """It may say that it asks nothing more before it has read the answer; most just close."""
    made, writer = await connections.connect_writer(tmp_path, reads_late=True)
    written = await write_until_it_waits(made)
    if says_goodbye:
        writer.send(CLOSE_NOTIFY, ALERT)
    else:
        made.device.socket.shutdown(socket.SHUT_WR)
    await eventually(made.transport.is_closing)
    assert not made.notes.lost
    assert await asyncio.to_thread(made.device.read_to_end) == (written, End.GOODBYE)
    assert await made.notes.until_lost() is None


async def test_a_device_that_resets_is_gone_at_once(connections: Connections) -> None:
    """Whether it was idle, or a write waited for it while its reading was paused."""
    for waits in (False, True):
        made = await connections.connect(reads_late=waits)
        if waits:
            await write_until_it_waits(made)
            made.transport.pause_reading()
        made.device.reset()
        assert isinstance(await made.notes.until_lost(), ConnectionResetError)
        made.transport.write(b"to nobody")
        made.transport.abort()
        await asyncio.sleep(0)
        assert len(made.notes.lost) == 1
        assert made.accepted.fileno() == -1


async def test_a_device_that_has_reset_has_no_name(connections: Connections) -> None:
    """The kernel forgets it before the loop tells: aiohttp asks for it with every request."""
    made = await connections.connect()
    made.transport.pause_reading()
    assert made.transport.get_extra_info("peername") == made.device.socket.getsockname()
    made.device.reset()
    await eventually(lambda: made.transport.get_extra_info("peername") is None)
    assert not made.notes.lost
    made.transport.resume_reading()
    assert isinstance(await made.notes.until_lost(), ConnectionResetError)


async def test_a_protocol_that_fails_at_what_it_receives_loses_the_connection(
    connections: Connections,
) -> None:
    """Nobody knows how far it came; the loop tells of the error."""

    class Failing(Notes):
        @override
        def data_received(self, data: bytes) -> None:
            raise ZeroDivisionError

    told: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context.get("exception")))
    made = await connections.connect(Failing())
    await asyncio.to_thread(made.device.send, b"x")
    assert await made.notes.until_lost() is None
    assert (await asyncio.to_thread(made.device.read_to_end))[1] is End.RESET
    assert [type(each) for each in told] == [ZeroDivisionError]


async def test_a_protocol_that_fails_to_begin_leaves_no_socket_open(
    connections: Connections,
) -> None:
    """Whoever made the transport is told, and has nothing to clean up."""

    class Failing(Notes):
        @override
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            raise ZeroDivisionError

    notes = Failing()
    with pytest.raises(ZeroDivisionError):
        await connections.connect(notes)
    assert await notes.until_lost() is None
    assert notes.transport.get_extra_info("socket").fileno() == -1


async def test_a_protocol_may_abort_when_it_is_told_to_pause(connections: Connections) -> None:
    """In the middle of its own write."""

    class Impatient(Notes):
        @override
        def pause_writing(self) -> None:
            super().pause_writing()
            if self.transport.get_write_buffer_size():
                self.transport.abort()

    made = await connections.connect(Impatient(), reads_late=True)
    while not made.transport.is_closing():
        made.transport.write(bytes(PIECE))
        await asyncio.sleep(0)
    assert await made.notes.until_lost() is None
    assert (await asyncio.to_thread(made.device.read_to_end))[1] is End.RESET


SIZES = st.lists(st.integers(0, 3 * PIECE), max_size=8)
PACES = st.lists(st.integers(1, PIECE), max_size=20)


@settings(max_examples=40)
@given(sizes=SIZES, paces=PACES, seed=st.integers(0, 255), is_aborted=st.booleans())
async def test_whatever_is_written_arrives_in_order(
    facade_tls: SSL.Context,
    device_tls: DeviceTls,
    sizes: list[int],
    paces: list[int],
    seed: int,
    *,
    is_aborted: bool,
) -> None:
    """However slowly it is read: all of it and a goodbye, or a part of it and a reset."""
    connections = Connections(facade_tls, device_tls)
    made = await connections.connect(reads_late=True)
    written = random.Random(seed).randbytes(sum(sizes))  # noqa: S311 - no secret
    reading = asyncio.create_task(asyncio.to_thread(made.device.read_to_end, paces))
    begin = 0
    for size in sizes:
        made.transport.write(memoryview(written)[begin : begin + size])
        begin += size
        await asyncio.sleep(0)
    if is_aborted:
        made.transport.abort()
    else:
        made.transport.close()
    received, end = await reading
    if is_aborted:
        assert end is End.RESET
        assert written.startswith(received)
    else:
        assert (received, end) == (written, End.GOODBYE)
    made.device.socket.close()
    assert await made.notes.until_lost() is None
    await connections.close()
    assert made.notes.lost == [None]


def send_until_cut(device: socket.socket, data: bytes) -> None:
    """Send it all, or what is taken before the end."""
    with contextlib.suppress(ConnectionError):
        device.sendall(data)


async def test_a_connection_that_has_ended_is_gone_at_once(connections: Connections) -> None:
    """A transport and its cork held each other, each with a TLS connection."""
    ended = await connections.connect()
    await connections.connect()
    with leftovers() as left:
        ended.transport.write(some_bytes(RECORD + 1))
        ended.transport.abort()
        await ended.notes.until_lost()
        connections.forget(ended.transport)
        del ended.notes.transport  # as aiohttp's protocol lets go of it
        del ended
        await some_turns()
    assert left.objects == []
