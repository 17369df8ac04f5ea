"""canonical_json: one form for one value, and nothing else is read."""

from datetime import UTC, datetime, timedelta, timezone

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.canonical_json import (
    MAX_DOCUMENT_BYTES,
    InvalidDocumentError,
    format_time,
    from_json,
    to_json,
)
from shared.connection import Anonymous, ConnectionDocument
from shared.registry_host import RegistryHost
from shared.statement import AuditEntry, ConnectionApproval
from tests.unit.shared.strategies import connection_documents, json_values, statements

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
DOCUMENT = ConnectionDocument(
    host=RegistryHost.parse("ghcr.io"),
    credential=Anonymous(),
    connected_by="alice",
    connected_at=MOMENT,
)
CANONICAL = orjson.loads(DOCUMENT.to_bytes())


def refused(document: bytes) -> str:
    """Return the message with which a document is refused."""
    with pytest.raises(InvalidDocumentError) as caught:
        from_json(document, ConnectionDocument)
    return str(caught.value)


def changed(**changes: object) -> bytes:
    """Return the canonical bytes of the document with other fields."""
    return orjson.dumps({**CANONICAL, **changes}, option=orjson.OPT_SORT_KEYS)


@given(connection_documents)
def test_a_document_comes_back(document: ConnectionDocument) -> None:
    """What was approved is what is served."""
    assert from_json(document.to_bytes(), ConnectionDocument) == document


@given(statements)
def test_a_statement_comes_back(statement: ConnectionApproval) -> None:
    """Every type of statement has a form that reads back."""
    assert from_json(to_json(statement), type(statement)) == statement


def test_the_changed_document_of_these_tests_is_accepted_when_nothing_is_changed() -> None:
    """Otherwise the refusals below would prove nothing."""
    assert from_json(changed(), ConnectionDocument) == DOCUMENT


@pytest.mark.parametrize(
    "changes",
    [
        {"unknown": 1},
        {"Host": "ghcr.io"},
        {"host": 5},
        {"host": None},
        {"host": "GHCR.io"},
        {"host": ["ghcr.io"]},
        {"credential": {"kind": "anonymous", "username": "x"}},
        {"credential": {"kind": "unknown"}},
        {"credential": {"kind": []}},
        {"credential": {}},
        {"credential": "anonymous"},
        {"credential": None},
        {"credential": [{"kind": "anonymous"}]},
        {"connected_by": 1},
        {"connected_at": 1767323045},
        {"connected_at": "2026-01-02T03:04:05Z"},
        {"connected_at": "2026-01-02T03:04:05.678+00:00"},
        {"connected_at": "2026-01-02T03:04:05.6780Z"},
        {"connected_at": "2026-1-2T03:04:05.678Z"},
        {"connected_at": "2026-13-02T03:04:05.678Z"},
        {"connected_at": "0000-01-02T03:04:05.678Z"},
        {"connected_at": "0001-01-01T00:00:00.000Z\n"},
        {"plain_http": 1},
        {"plain_http": "true"},
        {"plain_http": None},
        {"plain_http": False},  # a default spelled out
        {"secret": None},
        {"fleets": []},
        {"fleets": "ab"},  # a text is not a list of its letters
        {"fleets": {"a": 1}},
        {"fleets": [1]},
        {"fleets": [None]},
        {"repositories": ["A"]},
        {"repository_prefix": ""},
        {"allowed_networks": ["10.0.0.1/8"]},
        {"allowed_networks": ["10.0.0.1"]},  # a second spelling of 10.0.0.1/32
        {"allowed_networks": ["10.0.0.0/255.0.0.0"]},
        {"allowed_networks": ["FD00::/8"]},
        {"allowed_networks": [167772160]},
        {"secret": {"version": 1.0, "key_id": "", "suite": "", "sha256": ""}},
        {"secret": {"version": True, "key_id": "", "suite": "", "sha256": ""}},
        {"secret": {"version": "1", "key_id": "", "suite": "", "sha256": ""}},
        {"secret": {"version": 1, "key_id": "", "suite": ""}},
    ],
)
def test_what_the_class_does_not_say_is_refused(changes: dict[str, object]) -> None:
    """A reader that guesses reads something that nobody approved."""
    refused(changed(**changes))


@pytest.mark.parametrize("field", CANONICAL)
def test_a_missing_field_is_refused(field: str) -> None:
    """No field that an approver sees has a silent default but those that say nothing."""
    refused(orjson.dumps({name: value for name, value in CANONICAL.items() if name != field}))


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"null",
        b"1",
        b'"text"',
        b"[]",
        b"{}",
        b"{",
        b"\xff",
        b"\xef\xbb\xbf" + DOCUMENT.to_bytes(),
        DOCUMENT.to_bytes() + b"\n",
        b" " + DOCUMENT.to_bytes(),
        DOCUMENT.to_bytes() + DOCUMENT.to_bytes(),
        DOCUMENT.to_bytes().replace(b":", b": ", 1),
        DOCUMENT.to_bytes().replace(b"ghcr.io", b"ghcr\\u002eio"),
        DOCUMENT.to_bytes().replace(b"{", b'{"host":"evil.example",', 1),  # a repeated key
        DOCUMENT.to_bytes()[:-1] + b',"host":"evil.example"}',
        orjson.dumps(dict(reversed(CANONICAL.items()))),
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000,
    ],
)
def test_other_bytes_are_refused(document: bytes) -> None:
    """Two readers must not see two values in what one signature covers."""
    refused(document)


@given(json_values)
def test_any_json_is_refused_or_read_with_one_error(value: object) -> None:
    """Callers turn this one error into a refusal; another would take the snapshot down."""
    document = orjson.dumps(value)
    for cls in (ConnectionDocument, AuditEntry):
        with pytest.raises(InvalidDocumentError):
            from_json(document, cls)


@given(
    st.sampled_from(sorted(CANONICAL)) | st.sampled_from(["secret", "fleets", "repositories"]),
    json_values,
)
def test_any_value_in_any_field_is_refused_or_canonical(field: str, value: object) -> None:
    """Whatever is accepted is written back to the very bytes."""
    document = changed(**{field: value})
    try:
        read = from_json(document, ConnectionDocument)
    except InvalidDocumentError:
        return
    assert read.to_bytes() == document


@given(connection_documents, st.data())
def test_a_changed_byte_is_refused_or_another_document(
    document: ConnectionDocument, data: st.DataObject
) -> None:
    """No byte of a document is without meaning."""
    content = document.to_bytes()
    place = data.draw(st.integers(0, len(content) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[place]))
    tampered = content[:place] + bytes([other]) + content[place + 1 :]
    try:
        read = from_json(tampered, ConnectionDocument)
    except InvalidDocumentError:
        return
    assert read != document


@pytest.mark.parametrize("number", [2**53, 2**63, 2**64, 10**30, 10**400, -1, 0, "1e3", "1.0"])
def test_numbers_beyond_a_generation_are_refused(number: object) -> None:
    """Readers of other languages would round them, and take one generation for another."""
    entry = AuditEntry(
        generation=1, previous="", at=MOMENT, actor="a", action="b", about="c", details={}
    )
    document = to_json(entry).replace(b'"generation":1', b'"generation":%s' % str(number).encode())
    with pytest.raises(InvalidDocumentError):
        from_json(document, AuditEntry)


def test_a_document_beyond_the_bound_is_refused_before_it_is_parsed() -> None:
    """A parser's memory is a multiple of what it reads."""
    assert str(MAX_DOCUMENT_BYTES) in refused(b"[" * (MAX_DOCUMENT_BYTES + 1))


def test_a_refusal_quotes_nothing() -> None:
    """The message goes to the log."""
    for document in (changed(host="canary!"), changed(canary=1), b'{"canary', b'["canary"]'):
        with pytest.raises(InvalidDocumentError) as caught:
            from_json(document, ConnectionDocument)
        assert "canary" not in repr(caught.value)
        assert caught.value.__suppress_context__


def test_times_are_utc_with_milliseconds() -> None:
    """One moment has one text, whatever the clock's zone."""
    east = MOMENT.astimezone(timezone(timedelta(hours=9)))
    assert format_time(east) == format_time(MOMENT) == "2026-01-02T03:04:05.678Z"
