"""`docs/webhook-payload.schema.json`, made of what webhooks send: `make docs` writes it."""

import sys

import orjson

from control_plane.webhooks.payload_schema import payload_schema


def schema_text() -> bytes:
    """Return the file."""
    return orjson.dumps(payload_schema(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


if __name__ == "__main__":
    sys.stdout.buffer.write(schema_text())
