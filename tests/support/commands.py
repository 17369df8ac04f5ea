"""`control-plane` commands without a process for each: the same program, settings and streams.

Whatever depends on a process (a terminal, its start, a signal) is tested with one.
"""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
from attrs import field, frozen
from click.testing import CliRunner

from control_plane.cli import cli


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


def run_command(settings: Mapping[str, str], *arguments: str, given: str = "") -> Ran:
    """Run `control-plane ARGUMENTS` with these settings and no others. Blocks.

    In a thread, because a command has an event loop of its own.
    """
    ours = [name for name in os.environ if name.startswith("CONTROL_PLANE_")]
    environment = {"COLUMNS": None} | dict.fromkeys(ours) | dict(settings)
    runner = CliRunner()
    with ThreadPoolExecutor(max_workers=1) as thread:
        answer = thread.submit(
            runner.invoke, cli, arguments, input=given, env=environment, prog_name="control-plane"
        ).result()
    if answer.exception is not None and not isinstance(answer.exception, SystemExit):
        raise answer.exception
    return Ran(answer.exit_code, answer.stdout, answer.stderr)
