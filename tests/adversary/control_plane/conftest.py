"""A control plane with one connection, which an operator lists while somebody attacks."""

import pytest

from deploy.dev.product import is_ready
from tests.adversary.watch import Target
from tests.support.control_plane import ControlPlane
from tests.system.control_plane.conftest import (  # noqa: F401 - the same control planes
    database,
    host,
    keys,
    own_plane,
    start_plane,
    template,
)


@pytest.fixture
async def target(own_plane: ControlPlane, host: str) -> Target:  # noqa: F811 - fixtures
    """The control plane, and an operator who lists connections."""
    await own_plane.client("alice").connect(host)
    return Target(
        pid=own_plane.child.pid,
        victim=(f"{own_plane.url}/v1/connections", "--token", own_plane.tokens["eve"]),
        is_alive=lambda: is_ready(f"127.0.0.1:{own_plane.port}"),
    )
