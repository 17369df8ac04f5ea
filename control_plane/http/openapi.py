"""The description of the API: the file `openapi.json` of this package."""

from importlib.resources import files
from typing import Any

import orjson


def description_bytes() -> bytes:
    """Return `openapi.json`."""
    return files("control_plane").joinpath("openapi.json").read_bytes()


def description() -> dict[str, Any]:
    """Return the description's object."""
    return dict(orjson.loads(description_bytes()))
