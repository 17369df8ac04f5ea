"""`control_plane/openapi.json`, made of the API's operations: `make docs` writes it."""

import sys

import orjson

from control_plane.serving.api_description import api_description


def page() -> bytes:
    """Return the file."""
    return orjson.dumps(api_description(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


if __name__ == "__main__":
    sys.stdout.buffer.write(page())
