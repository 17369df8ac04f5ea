"""The schemas of what crosses the API about connections. Pure."""

from typing import Final

from control_plane.connections import (
    grant_schemas,
    history_schemas,
    request_schemas,
    view_schemas,
)
from control_plane.http.schema import Schema

SCHEMAS: Final[dict[str, Schema]] = (
    view_schemas.SCHEMAS | request_schemas.SCHEMAS | history_schemas.SCHEMAS | grant_schemas.SCHEMAS
)
