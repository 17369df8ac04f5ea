"""What attacks as a process of its own, so that the victim is not measured waiting for the test."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.facade_process import Device


def as_device(device: Device) -> tuple[str, ...]:
    """Return the arguments by which a program of this folder is a device."""
    return (
        *("--ca", str(device.facade.files.folder / "server-ca.pem")),
        *("--certificate", str(device.files.certificate), "--key", str(device.files.key)),
    )


@asynccontextmanager
async def running(program: str, *arguments: str) -> AsyncIterator[None]:
    """Run a program of this folder meanwhile; fail if it ends by itself."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"tests.adversary.{program}", *arguments
    )
    try:
        yield
        assert process.returncode is None, f"{program} ended by itself"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
