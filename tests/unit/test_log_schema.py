"""Every field of a log line is documented, and the schema finds a line that is not as it says."""

from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped] # it ships no types

from deploy.dev.debian import REPOSITORY
from deploy.dev.log_field_meanings import MEANINGS, OWN_FIELDS
from deploy.dev.log_schema import ACCESS_FIELDS, page, schema, schema_text
from shared.log_fields import FIELDS
from shared.secret import REDACTED
from shared.structured_log import render
from tests.support.log_schema import require_documented

LINE: dict[str, Any] = {
    "time": "2026-11-29T12:00:00.000Z",
    "level": "info",
    "logger": "facade.pull",
    "event": "answered",
    "status": 200,
    **dict.fromkeys(ACCESS_FIELDS),
    "outcome": "answered",
    "source": "store",
    "bytes": 1,
    "duration_ms": 0.5,
}


def test_the_documents_are_what_the_log_goes_by() -> None:
    """`make docs` writes them; whoever adds a field finds out here."""
    assert (REPOSITORY / "docs" / "log-line.schema.json").read_text() == schema_text()
    assert (REPOSITORY / "docs" / "logs.md").read_text() == page()


def test_each_field_has_its_meaning_and_each_meaning_its_field() -> None:
    """And none is one of the line's own."""
    assert MEANINGS.keys() == FIELDS.keys()
    assert OWN_FIELDS.keys().isdisjoint(MEANINGS)


def test_the_schema_is_one() -> None:
    """Of its own draft."""
    Draft202012Validator.check_schema(schema())


def test_what_is_rendered_is_documented() -> None:
    """With an exception, a field that nobody knows, and values of other types."""
    try:
        raise FileNotFoundError(2, "no such file")
    except FileNotFoundError as error:
        raised = error
    fields = dict.fromkeys(FIELDS, object()) | {"nobody_knows": "it", "problems": ["a", "b"]}
    line = orjson.loads(render("error", "facade", "an event", fields, raised))
    assert line["nobody_knows"] == line["bytes"] == REDACTED
    assert require_documented([line, LINE]) == {"an event", "answered"}


@pytest.mark.parametrize(
    "changed",
    [
        {"level": "loud"},
        {"bytes": "many"},
        {"source": "a cloud"},
        {"nobody_knows": "a secret"},
        {"status": None},
        {"event": None},
    ],
)
def test_a_line_that_is_not_as_documented_is_found(changed: dict[str, Any]) -> None:
    """A check that finds nothing would prove nothing."""
    with pytest.raises(AssertionError):
        require_documented([LINE | changed])


@pytest.mark.parametrize("name", ACCESS_FIELDS)
def test_a_pull_without_one_of_its_fields_is_found(name: str) -> None:
    """A SIEM counts on each."""
    with pytest.raises(AssertionError):
        require_documented([{key: value for key, value in LINE.items() if key != name}])
