"""Every operation that needs a role: the one table of roles and what they may do. Pure.

API, console and command line do the same operations, so each asks here. A room describes its own in
its `operations.py`; what is not named here has no route.
"""

from typing import Final

from control_plane.audit import operations as of_audit
from control_plane.connections import operations as of_connections
from control_plane.device_revocations import operations as of_devices
from control_plane.http.operation import AnswerShape, OperatorsOperation
from control_plane.http.schema import TEXT
from control_plane.operator_accounts import operations as of_operators
from control_plane.operator_accounts import session_operations as of_sessions
from control_plane.operators.permissions import Role
from control_plane.review import operations as of_reviews

SHOW_METRICS: Final = OperatorsOperation(
    "GET",
    "/metrics",
    "showMetrics",
    "Counters in Prometheus' text format",
    {200: AnswerShape("The counters.", TEXT, "text/plain")},
    role=Role.VIEWER,
)
OPERATIONS: Final[tuple[OperatorsOperation, ...]] = (
    *of_connections.OPERATIONS,
    *of_reviews.OPERATIONS,
    *of_devices.OPERATIONS,
    *of_operators.OPERATIONS,
    *of_sessions.OPERATIONS,
    *of_audit.OPERATIONS,
    SHOW_METRICS,
)


def allowed_to(role: Role) -> tuple[OperatorsOperation, ...]:
    """Return what a role may do."""
    return tuple(each for each in OPERATIONS if each.allows(role))
