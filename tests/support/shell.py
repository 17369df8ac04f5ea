"""`control-plane` commands without a process each: the same program, its settings, its streams.

What depends on a process (a terminal, how it starts, what a signal does) is tested with one.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
from attrs import field, frozen
from click.testing import CliRunner

from control_plane.cli import cli
from tests.support.control_plane import ControlPlane


@frozen
class Ran:
    """How a command ended, and what it said."""

    status: int
    output: str = field(repr=False)
    words: str

    @property
    def result(self) -> Any:
        """The output as JSON."""
        return orjson.loads(self.output)


async def shell(
    plane: ControlPlane,
    *arguments: str,
    operator: str | None = "alice",
    given: str = "",
    settings: Mapping[str, str] | None = None,
) -> Ran:
    """Run `control-plane ARGUMENTS` as an operator, or without one as whoever deploys it."""
    return await ran(plane.shell_settings(operator) | dict(settings or {}), *arguments, given=given)


async def ran(settings: Mapping[str, str], *arguments: str, given: str = "") -> Ran:
    """Run `control-plane ARGUMENTS` with these settings."""
    environment = {"COLUMNS": None, **settings}
    runner = CliRunner()
    answer = await asyncio.to_thread(
        runner.invoke, cli, arguments, input=given, env=environment, prog_name="control-plane"
    )
    if answer.exception is not None and not isinstance(answer.exception, SystemExit):
        raise answer.exception
    return Ran(answer.exit_code, answer.stdout, answer.stderr)
