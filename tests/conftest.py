"""Fixtures of every test: uvloop as in production, and the real parts from `deploy.dev`."""

from asyncio import AbstractEventLoop
from collections.abc import Callable, Mapping

import pytest
import uvloop


def pytest_asyncio_loop_factories(
    config: pytest.Config,  # noqa: ARG001 the hook's own signature
    item: pytest.Item,  # noqa: ARG001 the hook's own signature
) -> Mapping[str, Callable[[], AbstractEventLoop]]:
    """Tests run on the loop that the processes run on."""
    return {"uvloop": uvloop.new_event_loop}
