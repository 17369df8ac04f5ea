"""`openapi.json`, made of the operations of every room: `make docs` writes it, a test compares.

The file is served as it is, so that whoever reviews a change sees what changes in the API.
"""

from collections.abc import Sequence
from typing import Any, Final

from control_plane import operations as of_operators
from control_plane.audit.operations import SCHEMAS as AUDIT_SCHEMAS
from control_plane.connections.schemas import SCHEMAS as CONNECTION_SCHEMAS
from control_plane.device_revocations.operations import SCHEMAS as DEVICE_SCHEMAS
from control_plane.http.operation import Operation, headers, problem_responses
from control_plane.operator_accounts.operations import SCHEMAS as OPERATOR_SCHEMAS
from control_plane.operator_accounts.session_operations import SCHEMAS as SESSION_SCHEMAS
from control_plane.review.operations import SCHEMAS as REVIEW_SCHEMAS
from control_plane.serving import operations as of_process
from control_plane.single_sign_on import operations as of_sign_on

OPERATIONS: Final[Sequence[Operation]] = (
    *of_operators.OPERATIONS,
    *of_process.OPERATIONS,
    *of_sign_on.OPERATIONS,
)
_INFO: Final = {
    "title": "Registry facade: control plane",
    "version": "1",
    "description": "Connect registries, approve them, revoke them. No answer ever holds a secret."
    " Unknown fields and parameters are refused, and those that are given twice. Every answer bears"
    " X-Request-Id.",
}
_TOKEN: Final = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "rfo_<name>.<43 characters>, or an access token (JWT) of the OpenID provider",
}


def api_description() -> dict[str, Any]:
    """Return the description's object."""
    paths = dict[str, dict[str, Any]]()
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = operation.described()
    return {
        "openapi": "3.1.0",
        "info": _INFO,
        "servers": [{"url": "/"}],
        "security": [{"operatorToken": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"operatorToken": _TOKEN},
            "headers": headers(),
            "responses": problem_responses(),
            "schemas": CONNECTION_SCHEMAS
            | REVIEW_SCHEMAS
            | DEVICE_SCHEMAS
            | OPERATOR_SCHEMAS
            | SESSION_SCHEMAS
            | AUDIT_SCHEMAS
            | of_process.SCHEMAS
            | of_sign_on.SCHEMAS,
        },
    }
