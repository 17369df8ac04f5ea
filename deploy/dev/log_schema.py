"""The JSON Schema of log lines, `docs/log-line.schema.json`: `make docs` writes it, a test compares.

`docs/logs.md` is for people. Both are made of the tables that the log itself goes by.
"""

import sys
from collections.abc import Callable, Iterator
from typing import Final

import orjson

from deploy.dev.log_field_meanings import MEANINGS, OWN_FIELDS
from shared.log_fields import FIELDS, MAX_LIST_ITEMS, flag, number, text, texts, word
from shared.secret import REDACTED

Schema = dict[str, object]
SCHEMA_ID: Final = "https://json-schema.org/draft/2020-12/schema"
_TEXT: Final[Schema] = {"type": "string"}
# Of every shown field null says that there is none; what was not of its type is redacted.
_TYPES: Final[dict[Callable[[object], object], Schema]] = {
    text: {"type": ["string", "null"]},
    word: {"type": ["string", "null"]},
    number: {"anyOf": [{"type": ["number", "null"]}, {"const": REDACTED}]},
    flag: {"anyOf": [{"type": ["boolean", "null"]}, {"const": REDACTED}]},
    texts: {
        "anyOf": [
            {"type": ["array", "null"], "items": _TEXT, "maxItems": MAX_LIST_ITEMS},
            {"const": REDACTED},
        ]
    },
}
_SHOWN_AS: Final[dict[Callable[[object], object], str]] = {
    text: "text",
    word: "a word",
    number: "number",
    flag: "true or false",
    texts: "texts",
}
_EXCEPTION: Final[Schema] = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["type", "module", "frames"],
        "properties": dict.fromkeys(("type", "module", "message", "errno", "sqlstate"), _TEXT)
        | {"frames": {"type": "array", "items": _TEXT}},
        "additionalProperties": False,
    },
}
# What every line of a request of a device has; `device` and the rest are null where nobody knows.
ACCESS_FIELDS: Final = (
    *("request_id", "device", "fleet", "peer", "connection", "method", "host", "repository"),
    *("kind", "digest", "source", "bytes", "duration_ms", "outcome", "reason"),
)
_ACCESS: Final[Schema] = {
    "if": {
        "properties": {
            "logger": {"const": "facade.pull"},
            "event": {"enum": ["answered", "aborted"]},
        }
    },
    "then": {
        "required": list(ACCESS_FIELDS),
        "properties": {
            "outcome": {"enum": ["answered", "aborted"]},
            "source": {"enum": ["memory", "store", "arriving", "upstream", "none"]},
            "bytes": {"type": "integer", "minimum": 0},
            "duration_ms": {"type": "number", "minimum": 0},
        },
        "if": {"properties": {"event": {"const": "answered"}}},
        "then": {"required": ["status"], "properties": {"status": {"type": "integer"}}},
    },
}


def schema() -> Schema:
    """Return the schema of one line."""
    own: dict[str, Schema] = {
        "time": {"type": "string", "format": "date-time"},
        "level": {"enum": ["debug", "info", "warning", "error"]},
        "logger": _TEXT,
        "event": _TEXT,
        "exception": _EXCEPTION,
    }
    described = {
        name: {"description": OWN_FIELDS[name], **shape} for name, shape in own.items()
    } | {name: {"description": MEANINGS[name], **_TYPES[FIELDS[name]]} for name in FIELDS}
    return {
        "$schema": SCHEMA_ID,
        "title": "A line of the log of the facade and of the control plane",
        "type": "object",
        "required": ["time", "level", "logger", "event"],
        "properties": described,
        "additionalProperties": {"const": REDACTED},
        **_ACCESS,
    }


def schema_text() -> str:
    """Return the file."""
    return orjson.dumps(schema(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


_HEAD: Final = f"""# The log

Made by `make docs` of the tables that the log goes by; do not edit it by hand. Both programs write one
JSON object a line to standard output. [log-line.schema.json](log-line.schema.json) is the JSON Schema of a
line; tests hold real lines of both programs to it.

- `event` never varies: search for it. What varies is in the other fields.
- Only the fields below are shown. Any other keeps its name and has the value `{REDACTED}`, and so has a
  value of another type. No field holds a secret, or what a registry, a device or a caller wrote without bounds.
- A text is cut after 512 characters, and what is not printable in it is written as an escape.

## The line of a pull

Each request of a device has one line of the logger `facade.pull` when it ends, at level `info`: `answered`, or
`aborted` if its answer was cut or its device left, which has no `status`. It is what a SIEM takes:

```json
{{"time":"2026-11-29T12:00:00.000Z","level":"info","logger":"facade.pull","event":"answered","request_id":"5f1e7a2c4a533c3f","status":200,"outcome":"answered","bytes":1048576,"duration_ms":41.2,"reason":"","device":"press-7","fleet":"line-a","peer":"192.0.2.7","connection":"00000000-0000-0000-0000-000000000001","source":"store","method":"GET","host":"registry.example","repository":"team/app","kind":"blobs","digest":"sha256:…"}}
```

- `outcome` tells whether there was a whole answer; whether it was a refusal, `status` says. `source` is as in
  `facade_pulls_total` ([metrics.md](metrics.md)).
- What a device repeats beyond measure is told together: `refused again` and `aborted again`, with `count`.
- `FACADE_LOG_SAMPLE_HITS=N`: of N pulls that were answered from memory or from the store one has a line, with
  `sampled` N. What was refused or aborted, or cost upstream something, has its line in any case. Metrics
  count all of them.

## Every field
"""


def page() -> str:
    """Return the page for people."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _HEAD
    yield "| field | type | meaning |\n|---|---|---|"
    for name, meaning in OWN_FIELDS.items():
        yield f"| `{name}` | {'list' if name == 'exception' else 'text'} | {meaning} |"
    for name, show in FIELDS.items():
        yield f"| `{name}` | {_SHOWN_AS[show]} | {MEANINGS[name]} |"


if __name__ == "__main__":
    print(page() if "--page" in sys.argv else schema_text(), end="")  # noqa: T201  # it is what the program is for
