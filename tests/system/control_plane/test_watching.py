"""`--watch`: a command that goes on, over a restart of the control plane too, until Ctrl-C."""

import asyncio
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Literal

import orjson

from deploy.dev.product import PROGRAMS
from tests.support.control_plane import ControlPlane
from tests.support.surroundings import of_a_child

SECONDS = 60.0  # for a line, on a busy machine


@asynccontextmanager
async def watching(settings: Mapping[str, str], *arguments: str) -> AsyncIterator[Process]:
    """Yield a `control-plane` command that watches; Ctrl-C ends it, which is no failure."""
    process = await asyncio.create_subprocess_exec(
        str(PROGRAMS / "control-plane"), *arguments, "--watch",
        env=of_a_child(settings), stdout=PIPE, stderr=PIPE,
    )  # fmt: skip
    try:
        yield process
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(SECONDS):
            _, words = await process.communicate()
        assert (process.returncode, words.decode()) == (0, "")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def line(process: Process, stream: Literal["stdout", "stderr"] = "stdout") -> str:
    """Return the next line that it prints."""
    found = process.stdout if stream == "stdout" else process.stderr
    assert found is not None
    async with asyncio.timeout(SECONDS):
        return (await found.readline()).decode().rstrip("\n")


async def test_what_changes_is_printed_once_until_somebody_has_seen_enough(
    own_plane: ControlPlane,
) -> None:
    """In the columns that are there; an upgrade of the control plane is what people watch for."""
    alice, bob = own_plane.client("alice"), own_plane.client("bob")
    first = await alice.connect("one.example")
    settings = own_plane.shell_settings("eve")
    async with (
        watching(settings, "connections", "list") as listed,
        watching(settings, "connections", "show", first["id"], "--json") as shown,
    ):
        assert (await line(listed)).split() == ["ID", "REGISTRY", "STATUS", "AS"]
        assert (await line(listed)).split()[:3] == [first["id"], "one.example", "pending"]
        assert orjson.loads(await line(shown))["status"] == "pending"
        await bob.approve(first)
        assert (await line(listed)).split()[:3] == [first["id"], "one.example", "approved"]
        assert orjson.loads(await line(shown))["status"] == "approved"
        own_plane.child.stop()
        for process in (listed, shown):
            assert "asking on" in await line(process, "stderr")
        await own_plane.restart()
        second = await alice.connect("two.example")
        assert (await line(listed)).split()[:3] == [second["id"], "two.example", "pending"]
