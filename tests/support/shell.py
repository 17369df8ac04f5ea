"""`control-plane` commands of an operator, beside a control plane that runs."""

import asyncio
from collections.abc import Mapping

from tests.support.commands import Ran, run_command
from tests.support.control_plane import ControlPlane


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
    """Run `control-plane ARGUMENTS` with these settings; the event loop goes on meanwhile."""
    return await asyncio.to_thread(run_command, settings, *arguments, given=given)
