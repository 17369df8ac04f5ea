"""`docs/webhooks.md`: its file is read, its payload is one, and the schema is that of the code."""

import orjson
from jsonschema import Draft202012Validator  # type: ignore[import-untyped] # it ships no types

from control_plane.webhooks.event import ALWAYS_SENT, EventKind
from control_plane.webhooks.payload_schema import payload_schema
from control_plane.webhooks.position import GapReason
from control_plane.webhooks.targets_file import parse_targets
from deploy.dev.debian import REPOSITORY
from deploy.dev.webhook_schema import schema_text
from tests.support.examples import examples

PAGE = REPOSITORY / "docs" / "webhooks.md"


def test_the_files_example_names_two_targets() -> None:
    """As it stands there."""
    (file,) = (each for each in examples(PAGE) if each.language == "yaml")
    pager, chat = parse_targets(file.text.encode())
    assert pager.wants(EventKind.AUDIT_PROBLEM)
    assert not pager.wants(EventKind.REVOKED)
    assert chat.plain_http


def test_the_payloads_example_is_one() -> None:
    """By the schema that receivers are given."""
    (payload,) = (each for each in examples(PAGE) if each.language == "json")
    Draft202012Validator.check_schema(payload_schema())
    Draft202012Validator(payload_schema()).validate(orjson.loads(payload.text))


def test_the_schema_is_the_one_that_make_docs_writes() -> None:
    """Whoever changes a payload runs it."""
    file = REPOSITORY / "docs" / "webhook-payload.schema.json"
    assert file.read_bytes() == schema_text()


def test_each_kind_and_each_reason_is_on_the_page() -> None:
    """An operator chooses from it."""
    page = PAGE.read_text()
    for kind in EventKind:
        assert f"`{kind}`" in page
    for reason in GapReason:
        assert f"`{reason}`" in page
    assert {EventKind.GAP, EventKind.TEST} == ALWAYS_SENT
