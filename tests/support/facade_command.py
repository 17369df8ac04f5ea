"""A facade's other commands, as a person runs them beside a serving facade."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import Mapping
from typing import Any

import orjson
from attrs import field, frozen

from tests.support.surroundings import ONE_AUTHORITY

COMMAND_SECONDS = 60.0


@frozen
class Finished:
    """How a command ended, and what it said."""

    status: int
    output: str = field(repr=False)
    words: str

    @property
    def result(self) -> Any:
        """The output as JSON."""
        return orjson.loads(self.output)


async def facade_command(environment: Mapping[str, str], *arguments: str) -> Finished:
    """Run `facade ARGUMENTS` to its end, with this environment and nothing else in it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "facade",
        *arguments,
        env={"PATH": "/usr/bin:/bin", **ONE_AUTHORITY, **environment},
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        async with asyncio.timeout(COMMAND_SECONDS):
            output, words = await process.communicate()
    except BaseException:  # whatever ends the test ends the process too
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return Finished(process.returncode, output.decode(), words.decode())
