"""A name that an object has twice is refused, however it is written and wherever it stands."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.errors import InvalidRequestError, UnreadableBodyError
from control_plane.reading.field_reader import MAX_NAMED_UNKNOWN_FIELDS, read_object
from control_plane.reading.repeated_names import MAX_POINTER_CHARACTERS, repeated_names

CANARY = "canary-in-a-body"
NAMES = st.text(min_size=1, max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    "body, pointers",
    [
        (b'{"host": "a", "host": "b"}', ["/host"]),
        (b'{"host": "a", "host": "a"}', ["/host"]),
        (b'{"host": "a", "\\u0068ost": "b"}', ["/host"]),
        (b'{"host": null, "x": 1, "host": "b", "x": 2, "x": 3}', ["/host", "/x"]),
        (b'{"service_account_key": {"type": 1, "type": 2}}', ["/service_account_key/type"]),
        (b'{"fleets": [1, {"a": 1, "a": 2}]}', ["/fleets/1/a"]),
        (b'{"a/b~": 1, "a/b~": 2, "\\u202e": 1, "\\u202e": 2}', ["/a~1b~0", "/?"]),
        (b'{"": 1, "": 2}', ["/"]),
    ],
)
def test_what_is_given_twice_is_named(body: bytes, pointers: list[str]) -> None:
    """By its escaped name, outermost first; no value is quoted."""
    with pytest.raises(InvalidRequestError) as refused:
        read_object(body)
    assert [error.pointer for error in refused.value.errors] == pointers
    assert {error.detail for error in refused.value.errors} == {"given more than once"}


@given(st.dictionaries(NAMES, JSON, max_size=4))
def test_an_object_with_every_name_once_is_read(body: dict[str, object]) -> None:
    """Whatever it holds."""
    assert read_object(orjson.dumps(body)) == body


@given(st.dictionaries(NAMES, JSON, min_size=1, max_size=4), st.data())
def test_any_name_given_once_more_is_refused(body: dict[str, object], data: st.DataObject) -> None:
    """At any place of the object."""
    name = data.draw(st.sampled_from(sorted(body)))
    pairs = [*body.items(), (name, CANARY)]
    members = (orjson.dumps(key) + b":" + orjson.dumps(value) for key, value in pairs)
    with pytest.raises(InvalidRequestError) as refused:
        read_object(b"{" + b",".join(members) + b"}")
    assert CANARY not in str([*refused.value.errors])


def test_errors_are_bounded() -> None:
    """A body has room for thousands of names, long ones and deep ones."""
    many = b",".join(b'"%d":1,"%d":2' % (number, number) for number in range(1000))
    with pytest.raises(InvalidRequestError) as refused:
        read_object(b"{" + many + b"}")
    assert len(refused.value.errors) == MAX_NAMED_UNKNOWN_FIELDS
    long = b'{"%s":' % (b"x" * 60)
    deep = b'{"outer":' + long * 100 + b'{"a":1,"a":2}' + b"}" * 101
    assert repeated_names(deep, at_most=1) == ["/outer"]
    less_deep = b'{"outer":' + long * 7 + b'{"a":1,"a":2}' + b"}" * 8
    (pointer,) = repeated_names(less_deep, at_most=1)
    assert len(pointer) <= MAX_POINTER_CHARACTERS
    assert pointer.endswith("x/a")


def test_what_is_nested_too_deep_is_unreadable() -> None:
    """Python's own stack is no error of ours."""
    deep = b'{"a":' + b"[" * 1000 + b"]" * 1000 + b"}"
    with pytest.raises(UnreadableBodyError):
        read_object(deep)
