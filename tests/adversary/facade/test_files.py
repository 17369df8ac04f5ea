"""A disk that flips bits: the files that a facade reads again and again are wrong each time."""

import asyncio
import random
import signal

import pytest

from shared.outside_bytes import Party
from tests.adversary.facade.attacked import AttackedFacade
from tests.adversary.facade.common_checks import (
    EXPOSED,
    READ_BY_ALL,
    reloading_goes_on,
    require_still_looking,
)
from tests.adversary.guards import check
from tests.support.eventually import eventually
from tests.support.swapped_files import put

pytestmark = pytest.mark.attack
OWN = 0o600
MAX_LOG_BYTES = 1024 * 1024
VICTIMS = '"event":"answered"'  # the line of each of its pulls; a quick machine writes many
PAUSE_SECONDS = 0.1  # between two changes; each is read at once, because of a signal


@reloading_goes_on
async def test_one_byte_of_each_file_is_another_all_the_time(
    attacked: AttackedFacade,
) -> None:
    """One such byte ended the process."""
    facade = attacked.facade
    folder, chosen = facade.files.folder, random.Random(9)  # noqa: S311 - the same bytes each time
    names = ("server.pem", "server.key", "sealing.private.pem")
    right = {name: (folder / name).read_bytes() for name in names}
    authority = (folder / "device-ca.pem").read_bytes()
    unparsed = [authority[:place] + b"!" + authority[place + 1 :] for place in range(30, 300, 7)]
    async with attacked.watched("one wrong byte in each file", Party.FILE) as attack:
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
        await require_still_looking(facade)


@check(
    "shared/watched_files.py",
    "    return bool(found.st_mode & stat.S_IROTH)\n",
    "    return False\n",
)
async def test_private_keys_that_everybody_may_read_now_and_then(
    attacked: AttackedFacade,
) -> None:
    """They were taken without a word; each change is told, and none keeps anybody out."""
    facade = attacked.facade
    keys = [facade.files.folder / name for name in ("server.key", "sealing.private.pem")]
    async with attacked.watched("private keys that all may read", Party.FILE) as attack:
        mode = READ_BY_ALL
        while attack.goes_on:
            for key in keys:
                key.chmod(mode)
            mode = OWN if mode == READ_BY_ALL else READ_BY_ALL
            facade.child.process.send_signal(signal.SIGHUP)
            await asyncio.sleep(PAUSE_SECONDS)
        for key in keys:
            key.chmod(READ_BY_ALL)
        facade.child.process.send_signal(signal.SIGHUP)
        await eventually(lambda: facade.operations("/readyz")[1].count("chmod o-r") == len(keys))
        await eventually(lambda: EXPOSED in facade.operations("/metrics")[1])
    told = [line for line in facade.log_text.splitlines() if VICTIMS not in line]
    assert sum(map(len, told)) < MAX_LOG_BYTES
