"""A facade's other commands, as a person runs them beside a serving facade."""

import asyncio
from collections.abc import Mapping

from tests.support.facade_process import SURROUNDINGS, warm_facade
from tests.support.warm.program import Finished


async def facade_command(environment: Mapping[str, str], *arguments: str) -> Finished:
    """Run `facade ARGUMENTS` to its end, with these settings and no others."""
    whole = {**SURROUNDINGS, **environment}
    return await asyncio.to_thread(warm_facade().run, arguments, environment=whole)
