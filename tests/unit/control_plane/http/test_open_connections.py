"""Who may have how many connections, who gives way, and who is too slow."""

import asyncio
from collections.abc import Iterable
from typing import cast

from attrs import define

from control_plane.http.open_connections import (
    HEAD_SECONDS,
    MAX_CONNECTIONS,
    MIN_READ_BYTES,
    UNREAD_SECONDS,
    OpenConnection,
    OpenConnections,
)

SHARE = 3


@define(eq=False)
class Wire(asyncio.Transport):
    """A transport with so much unsent."""

    unsent: int = 0
    is_cut: bool = False

    def get_write_buffer_size(self) -> int:
        """Return what was set."""
        return self.unsent

    def abort(self) -> None:
        """Note it."""
        self.is_cut = True


def admitted(
    every: OpenConnections, sites: Iterable[str], *, answering: bool = False
) -> list[OpenConnection]:
    """Return new connections with nothing to send."""
    made = []
    for site in sites:
        own = every.admit(site, 0.0)
        assert own is not None
        own.begin(Wire(), lambda: answering, 0.0)
        made.append(own)
    return made


def is_cut(own: OpenConnection) -> bool:
    """Tell whether it was cut."""
    return cast(Wire, own.transport).is_cut


def test_beyond_its_share_an_addresss_oldest_gives_way() -> None:
    """Others are as they were, and whoever comes is let in."""
    every = OpenConnections(10, SHARE)
    (other,) = admitted(every, ["other"])
    first, *rest = admitted(every, ["stranger"] * (SHARE + 1))
    assert is_cut(first)
    assert not any(map(is_cut, [other, *rest]))
    assert every.count == SHARE + 1


def test_what_is_being_answered_gives_way_to_nobody() -> None:
    """An address with answers on all of its connections gets no more."""
    every = OpenConnections(10, SHARE)
    busy = admitted(every, ["stranger"] * SHARE, answering=True)
    assert every.admit("stranger", 0.0) is None
    assert not any(map(is_cut, busy))
    every.release(busy[0])
    assert every.admit("stranger", 0.0) is not None


def test_when_all_are_in_use_the_address_with_most_gives_way() -> None:
    """A stranger with many connections does not keep an operator out."""
    every = OpenConnections(6, 4)
    few = admitted(every, ["a", "b"])
    most = admitted(every, ["stranger"] * 4)
    admitted(every, ["operator"])
    assert [is_cut(each) for each in [*few, *most]] == [False, False, True, False, False, False]


def test_an_operators_connection_gives_way_last() -> None:
    """It is kept between calls, and a stranger may come from the same address."""
    every = OpenConnections(10, SHARE)
    operators, *strangers = admitted(every, ["a"] * SHARE)
    operators.is_operators = True
    admitted(every, ["a"] * (SHARE - 1))
    assert [is_cut(each) for each in [operators, *strangers]] == [False, True, True]
    for each in every:
        each.is_operators = True
    admitted(every, ["a"])
    assert is_cut(operators)


def test_a_body_that_stops_gives_way_unless_it_is_an_operators() -> None:
    """A request is being answered once it is whole; what a stranger holds back holds no place."""
    every = OpenConnections(10, 2)
    operators, strangers = (every.admit("proxy", 0.0) for _ in range(2))
    assert operators is not None
    assert strangers is not None
    operators.is_operators = True
    for own in (operators, strangers):
        own.begin(Wire(), lambda: True, 0.0, lambda: True)
    (third,) = admitted(every, ["proxy"], answering=True)
    assert (is_cut(operators), is_cut(strangers), is_cut(third)) == (False, True, False)
    assert every.admit("proxy", 0.0) is None  # an answer to a whole request is waited for


def test_behind_a_proxy_there_is_no_share() -> None:
    """All have the proxy's address."""
    every = OpenConnections.of_descriptors(10**6, behind_proxy=True)
    made = admitted(every, ["proxy"] * MAX_CONNECTIONS)
    assert not any(map(is_cut, made))
    admitted(every, ["proxy"])
    assert is_cut(made[0])


def test_a_process_with_few_descriptors_takes_fewer() -> None:
    """The database and the log need some, too."""
    every = OpenConnections.of_descriptors(64, behind_proxy=False)
    admitted(every, [str(number) for number in range(40)])
    assert every.count == 16


def test_a_head_has_its_time() -> None:
    """Also a second one; between requests nothing is awaited here."""
    every = OpenConnections()
    (own,) = admitted(every, ["a"])
    assert every.too_slow(HEAD_SECONDS) == []
    assert every.too_slow(HEAD_SECONDS + 0.1) == [own]
    own.head_awaited_since = None
    assert every.too_slow(10 * HEAD_SECONDS) == []


def test_who_does_not_read_is_too_slow_and_who_reads_little_is_not() -> None:
    """Four KiB a minute are enough, as for devices."""
    every = OpenConnections()
    (own,) = admitted(every, ["a"])
    own.head_awaited_since = None
    wire = cast(Wire, own.transport)
    wire.unsent = 10 * MIN_READ_BYTES
    assert every.too_slow(0.0) == []
    for turn in range(1, 4):
        wire.unsent -= MIN_READ_BYTES
        assert every.too_slow(turn * UNREAD_SECONDS) == []
    wire.unsent -= MIN_READ_BYTES - 1
    assert every.too_slow(4 * UNREAD_SECONDS) == []
    assert every.too_slow(4 * UNREAD_SECONDS + 0.1) == [own]


def test_a_handshake_that_gives_way_is_given_up() -> None:
    """It has no transport yet."""
    every = OpenConnections(1, None)

    async def handshake() -> None:
        await asyncio.Event().wait()

    async def given_up() -> bool:
        own = every.admit("a", 0.0)
        assert own is not None
        own.handshake = asyncio.create_task(handshake())
        await asyncio.sleep(0)
        assert every.too_slow(10 * HEAD_SECONDS) == []
        assert every.admit("b", 0.0) is not None
        await asyncio.wait([own.handshake])
        return own.handshake.cancelled()

    assert asyncio.run(given_up())
