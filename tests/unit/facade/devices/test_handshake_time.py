"""A handshake's time is the device's: what the facade has not read yet is waited for a while."""

import asyncio
import socket
from collections.abc import Iterator
from typing import Final

import pytest
from attrs import frozen

from facade.devices.handshake_time import HandshakeTime

SOON_SECONDS: Final = 0.01
SOME_LOOKS_SECONDS: Final = 20 * SOON_SECONDS
NEVER_SECONDS: Final = 3600.0


@frozen
class Pair:
    """The facade's end of a connection, which is not read by itself, and the device's."""

    ours: socket.socket
    device: socket.socket


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A device has connected."""
    ours, device = socket.socketpair()
    ours.setblocking(False)  # noqa: FBT003 - the standard library's own signature
    with ours, device:
        yield Pair(ours, device)


async def _until_over(pair: Pair, most_seconds: float) -> None:
    over = asyncio.Event()
    HandshakeTime(pair.ours, over.set, SOON_SECONDS, most_seconds, SOON_SECONDS)
    await over.wait()


async def test_a_device_that_sends_nothing_has_its_time(pair: Pair) -> None:
    """It ends, and nobody waits any longer."""
    await _until_over(pair, NEVER_SECONDS)


async def test_a_device_whose_bytes_nobody_has_read_is_waited_for(pair: Pair) -> None:
    """Until they were read: what comes then takes the device's time."""
    pair.device.sendall(b"hello")
    shaking = asyncio.create_task(_until_over(pair, NEVER_SECONDS))
    done, _ = await asyncio.wait([shaking], timeout=SOME_LOOKS_SECONDS)
    assert not done
    pair.ours.recv(64)
    await shaking


async def test_a_device_is_not_waited_for_without_end(pair: Pair) -> None:
    """Whatever it sends."""
    pair.device.sendall(b"hello")
    await _until_over(pair, SOON_SECONDS)


async def test_a_handshake_that_has_ended_is_not_ended_again(pair: Pair) -> None:
    """Its timer is gone."""
    over = asyncio.Event()
    HandshakeTime(pair.ours, over.set, SOON_SECONDS).stop()
    await asyncio.sleep(SOME_LOOKS_SECONDS)
    assert not over.is_set()
