"""A disk that flips bits: the files that a facade reads again and again are wrong each time."""

import asyncio
import random
import signal

import pytest

from shared.outside_bytes import Party
from tests.adversary.watch import Target, Watch
from tests.support.facade_process import Facade
from tests.support.swapped_files import put

pytestmark = pytest.mark.attack
PAUSE_SECONDS = 0.1  # between two changes; each is read at once, because of a signal


async def test_one_byte_of_each_file_is_another_all_the_time(
    watch: Watch, target: Target, facade: Facade
) -> None:
    """One such byte ended the process."""
    folder, chosen = facade.files.folder, random.Random(9)  # noqa: S311 - the same bytes each time
    names = ("server.pem", "server.key", "sealing.private.pem")
    right = {name: (folder / name).read_bytes() for name in names}
    authority = (folder / "device-ca.pem").read_bytes()
    unparsed = [authority[:place] + b"!" + authority[place + 1 :] for place in range(30, 300, 7)]
    async with watch("V9", "one wrong byte in each file", Party.FILE, target) as attack:
        while attack.goes_on:
            for name, content in right.items():
                wrong = bytearray(content)
                wrong[chosen.randrange(len(wrong))] ^= 1 << chosen.randrange(8)
                put(folder / name, bytes(wrong))
            # Not any byte of the CA: it may be another CA then, which the victim is not of.
            put(folder / "device-ca.pem", chosen.choice(unparsed))
            facade.child.process.send_signal(signal.SIGHUP)
            await asyncio.sleep(PAUSE_SECONDS)
        for name, content in (right | {"device-ca.pem": authority}).items():
            put(folder / name, content)
        facade.child.process.send_signal(signal.SIGHUP)
