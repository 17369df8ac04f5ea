"""Starting `many_devices` in processes of their own."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.support.facade_process import Facade


async def come_at_once(facade: Facade, count: int) -> Any:
    """Have so many devices come and leave again; return what the process says."""
    told, _ = await (await _start(facade, count)).communicate()
    return json.loads(told)


@asynccontextmanager
async def staying(facade: Facade, count: int) -> AsyncIterator[Any]:
    """Have so many devices within the block, idle; give what the process says."""
    process = await _start(facade, count, "--stay")
    assert process.stdout is not None
    yield json.loads(await process.stdout.readline())
    await process.communicate(b"")


async def _start(facade: Facade, count: int, *more: str) -> Process:
    device = facade.device()
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.growth.many_devices",
        *("--port", str(facade.port), "--count", str(count)),
        *("--ca", str(facade.files.folder / "server-ca.pem")),
        *("--certificate", str(device.files.certificate), "--key", str(device.files.key)),
        *more,
        stdin=PIPE,
        stdout=PIPE,
    )
