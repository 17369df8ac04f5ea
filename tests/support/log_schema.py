"""Holds real log lines to the schema that is in the repository."""

from collections.abc import Iterable
from typing import Any

import orjson
from jsonschema import Draft202012Validator  # type: ignore[import-untyped] # it ships no types

from deploy.dev.debian import REPOSITORY


def require_documented(lines: Iterable[dict[str, Any]]) -> set[str]:
    """Fail if a line is not as documented; return the events that were looked at.

    Of lines that have the same event and the same fields one is looked at.
    """
    schema = orjson.loads((REPOSITORY / "docs" / "log-line.schema.json").read_bytes())
    validator = Draft202012Validator(schema)
    kinds = {(line["logger"], line["event"], *sorted(line)): line for line in lines}
    for line in kinds.values():
        problems = [error.message for error in validator.iter_errors(line)]
        assert problems == [], line
    return {line["event"] for line in kinds.values()}
