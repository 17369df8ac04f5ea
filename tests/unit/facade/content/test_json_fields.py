"""The fields of an object are read as any reader of JSON reads them, and nothing below them."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facade.content.json_fields import (
    MAX_CONTAINERS,
    MAX_DEPTH,
    MAX_FIELDS,
    MAX_READ_VALUE_BYTES,
    MAX_STRINGS,
    UnreadableJsonError,
    fields_of,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
LAYOUTS = st.sampled_from(
    [
        {},
        {"indent": 3},
        {"ensure_ascii": False},
        {"separators": (" ,\t", "\r\n: ")},
    ]
)


def encoded(document: object, layout: dict[str, Any] | None = None) -> bytes:
    """Return the JSON of a document; what UTF-8 cannot say is escaped."""
    try:
        return json.dumps(document, **layout or {}).encode()
    except UnicodeEncodeError:
        return json.dumps(document).encode()


@given(document=st.dictionaries(st.text(), JSON, max_size=8), layout=LAYOUTS)
def test_every_object_has_the_fields_that_it_has(
    document: dict[str, Any], layout: dict[str, Any]
) -> None:
    """In their order, with their values' own bytes."""
    content = encoded(document, layout)
    try:
        orjson.loads(content)
    except orjson.JSONDecodeError:
        return  # half a surrogate
    fields = fields_of(b" \n" + content + b"\r\t ")
    assert [each.name for each in fields] == list(document)
    for each, value in zip(fields, document.values(), strict=True):
        if each.value is not None:
            assert json.loads(each.value) == value


@given(content=st.binary(max_size=60) | st.text(alphabet='{}[]",:\\ ntrue1-', max_size=60))
def test_arbitrary_bytes_are_an_object_or_unreadable(content: bytes | str) -> None:
    """Nothing else comes out of it, and every object is read."""
    document = content.encode() if isinstance(content, str) else content
    try:
        is_object = isinstance(orjson.loads(document), dict)
    except orjson.JSONDecodeError:
        is_object = False
    try:
        fields_of(document)
    except UnreadableJsonError:
        assert not is_object


@given(fields=st.lists(st.tuples(st.text(max_size=3), JSON), max_size=8))
def test_fields_of_the_same_name_are_all_read(fields: list[tuple[str, Any]]) -> None:
    """Which of them counts is a reader's choice, so nobody may choose."""
    members = [f"{json.dumps(name)}:{json.dumps(value)}" for name, value in fields]
    content = ("{" + ",".join(members) + "}").encode()
    try:
        orjson.loads(content)
    except orjson.JSONDecodeError:
        return
    assert [each.name for each in fields_of(content)] == [name for name, _ in fields]


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b" ",
        b"[]",
        b'"text"',
        b"{",
        b"{}{}",
        b"{} x",
        b"{,}",
        b'{"a":1,}',
        b'{"a" 1}',
        b'{"a":}',
        b'{"a":01x}',
        b'{"a":nul}',
        b'{"a":NaN}',
        b"{'a':1}",
        b'{"a":"b}',
        b'{"a":"b\\',
        b'{"a":[}',
        b'{"a":[}]',
        b'{"a":{]}',
        b'{"a":[}]}',
        b'{"a":["b]}',
        b'{"a":[\'"\', 1]}',
        b'{"a":[/*"*/]}',
        b'{"\\x":1}',
        b'{"\xff":1}',
        b"\xef\xbb\xbf{}",
        b'{"a":' + b"[" * 100_000,
    ],
)
def test_what_is_no_object_is_unreadable(document: bytes) -> None:
    """Nor is what only a generous reader would take for one."""
    with pytest.raises(UnreadableJsonError):
        fields_of(document)


def test_a_long_value_is_passed_over() -> None:
    """It is no media type."""
    longest = b'"' + b"x" * (MAX_READ_VALUE_BYTES - 2) + b'"'
    fields = fields_of(b'{"a":' + longest + b',"b":' + longest[:-1] + b'x"}')
    assert [each.value for each in fields] == [longest, None]


@pytest.mark.parametrize("escape", [b"\\\\", b'\\"', b"\\u00e9", b"\\n"])
def test_a_string_of_escapes_ends_where_it_ends(escape: bytes) -> None:
    """However many there are."""
    fields = fields_of(b'{"a":["' + escape * 10_000 + b'"],"b":1}')
    assert [each.name for each in fields] == ["a", "b"]


def nested(depth: int) -> bytes:
    """Return an object with lists in each other."""
    return b'{"a":' + b"[" * depth + b"]" * depth + b"}"


@pytest.mark.parametrize(
    "of_size, most",
    [
        (lambda n: b"{" + b",".join([b'"a":1'] * n) + b"}", MAX_FIELDS),
        (lambda n: b'{"a":[' + b",".join([b'"b"'] * (n - 1)) + b"]}", MAX_STRINGS),
        (lambda n: b'{"a":{' + b",".join([b'"b":1'] * (n - 1)) + b"}}", MAX_STRINGS),
        (lambda n: b'{"a":[' + b",".join([b"[]"] * (n - 1)) + b"]}", MAX_CONTAINERS),
        (nested, MAX_DEPTH),
    ],
    ids=["fields", "strings", "names", "containers", "depth"],
)
def test_more_than_a_manifest_has_is_unreadable(of_size: Any, most: int) -> None:
    """A registry cannot have a device's pull cost what it likes."""
    assert fields_of(of_size(most))
    with pytest.raises(UnreadableJsonError, match="than a manifest has"):
        fields_of(of_size(most + 1))
