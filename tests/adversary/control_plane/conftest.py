"""A control plane with one connection, which an operator lists while somebody attacks."""

import pytest

from tests.adversary.control_plane.attacked import AttackedPlane
from tests.adversary.watch import Watch
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
async def attacked(own_plane: ControlPlane, host: str, watch: Watch) -> AttackedPlane:  # noqa: F811 - fixtures
    """The control plane, and an operator who lists connections."""
    await own_plane.client("alice").connect(host)
    return AttackedPlane(own_plane, watch)
