"""A crash leaves no core, which would hold opened passwords and private keys."""

from pathlib import Path

import pytest

from deploy.dev.processes import Child
from tests.support.control_plane import ControlPlane
from tests.support.facade_database import FacadeDatabase
from tests.support.statement_writer import StatementWriter
from tests.system.control_plane.conftest import (  # noqa: F401 - the same control planes
    keys,
    plane,
    template,
)
from tests.system.facade.conftest import (  # noqa: F401 - the same facades
    StartFacade,
    new_database,
    own_database,
    own_writer,
    start_facade,
)


def _core_limits(child: Child) -> list[str]:
    """Return the soft limit and the hard one."""
    limits = Path(f"/proc/{child.pid}/limits").read_text()
    (line,) = (line for line in limits.splitlines() if line.startswith("Max core file size"))
    return line.split()[4:6]


def test_a_control_plane_leaves_no_core(plane: ControlPlane) -> None:  # noqa: F811 - a fixture
    """It holds the statement key, and for a moment each secret that it seals."""
    assert _core_limits(plane.child)[0] == "0"


@pytest.mark.parametrize("allowed", [False, True])
def test_a_facade_leaves_a_core_only_if_it_is_told_to(
    start_facade: StartFacade,  # noqa: F811 - a fixture
    own_writer: StatementWriter,  # noqa: F811 - a fixture
    own_database: FacadeDatabase,  # noqa: F811 - a fixture
    *,
    allowed: bool,
) -> None:
    """An operator who looks for a fault may want one."""
    settings = {"FACADE_ALLOW_CORE_DUMPS": str(allowed).lower()}
    facade = start_facade(own_writer, own_database.facade_url, settings)
    soft, hard = _core_limits(facade.child)
    assert soft == (hard if allowed else "0")
