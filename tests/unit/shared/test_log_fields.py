"""What a log line shows of a field: what the table says, and of everything else the name alone."""

from ipaddress import ip_address
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.log_fields import (
    FIELDS,
    MAX_LIST_ITEMS,
    MAX_TEXT_CHARACTERS,
    bounded_text,
    flag,
    number,
    shown,
    text,
    texts,
)
from shared.oci import Digest, Kind, RepositoryName
from shared.registry_host import RegistryHost
from shared.secret import REDACTED, Secret

CANARY = "canary5f3a"
ANYTHING = st.one_of(
    st.text(),
    st.binary(),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.lists(st.text()),
    st.dictionaries(st.text(), st.text()),
    st.builds(Secret, st.binary()),
    st.builds(ValueError, st.text()),
)


class Sly(str):
    """A text that says more when it is asked."""

    __slots__ = ()

    def __str__(self) -> str:
        """Return the canary."""
        return CANARY


@given(st.text().filter(lambda name: name not in FIELDS), ANYTHING)
def test_a_field_that_is_not_in_the_table_loses_its_value(field: str, value: object) -> None:
    """A new field has to be thought about once."""
    assert shown(field, value) == REDACTED


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize(
    "value",
    [
        Secret(CANARY),
        CANARY.encode(),
        bytearray(CANARY.encode()),
        memoryview(CANARY.encode()),
        ValueError(CANARY),
        {"token": CANARY},
        Sly("text"),
        object,
        [[CANARY]],
        [Secret(CANARY), CANARY.encode()],
    ],
)
def test_no_field_shows_a_secret_bytes_an_exception_or_a_mapping(field: str, value: object) -> None:
    """Whatever a caller hands over by mistake."""
    assert CANARY not in repr(shown(field, value))


@pytest.mark.parametrize(
    "value, expected",
    [
        (Digest.of(b""), f"sha256:{Digest.of(b'').hex}"),
        (RepositoryName.parse("team/app"), "team/app"),
        (RegistryHost.parse("h:5000"), "h:5000"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (ip_address("10.0.0.1"), "10.0.0.1"),
        (Path("/var/lib/x"), "/var/lib/x"),
        (Kind.BLOB, "blobs"),
        ("plain", "plain"),
        ("n\u00e4me \u65e5\u672c", "n\u00e4me \u65e5\u672c"),
    ],
)
def test_our_own_values_are_shown_as_their_text(value: object, expected: str) -> None:
    """Callers pass what they hold."""
    assert text(value) == expected


def test_nothing_is_shown_as_nothing() -> None:
    """A device that is not known yet is not a redacted one."""
    assert shown("device", None) is None


@given(st.text(st.characters(exclude_categories=[])))
def test_a_text_is_bounded_and_prints_nothing_but_itself(value: str) -> None:
    """No control character steers a terminal; no surrogate breaks the JSON."""
    result = bounded_text(value)
    assert result.isprintable()
    assert len(result) <= (MAX_TEXT_CHARACTERS + 3) * len("\\U0010ffff")
    assert value.isprintable() == (result == value) or len(value) > MAX_TEXT_CHARACTERS
    result.encode()


def test_control_characters_are_written_out() -> None:
    """The reader sees what was there."""
    assert bounded_text("a\x1b[2J\r\n\u202e\u2028") == "a\\x1b[2J\\r\\n\\u202e\\u2028"


@pytest.mark.parametrize(
    "value, expected",
    [(1, 1), (-1, -1), (1.23456, 1.235), (2**53, 2**53), (2**53 + 1, REDACTED), (True, REDACTED)],
)
def test_a_number_is_a_bounded_number(value: object, expected: object) -> None:
    """A truth value is none, and neither is what JSON readers round."""
    assert number(value) == expected
    assert type(number(value)) is type(expected)


def test_a_flag_is_a_truth_value() -> None:
    """Not a number, not a text."""
    given = [True, False, 1, "true", None]
    assert [flag(value) for value in given] == [True, False, REDACTED, REDACTED, REDACTED]


def test_a_list_is_bounded_and_each_item_is_a_text() -> None:
    """A line stays readable."""
    assert texts(["a", 1, Secret(CANARY)]) == ["a", REDACTED, REDACTED]
    assert len(texts(["a"] * 1000)) == MAX_LIST_ITEMS  # type: ignore[arg-type]  # a list went in
    assert texts("abc") == REDACTED
    assert texts(iter(["a"])) == REDACTED


@given(st.sampled_from(sorted(FIELDS)), ANYTHING)
def test_any_value_of_any_field_is_shown_or_redacted_without_an_error(
    field: str, value: object
) -> None:
    """Logging never fails the thing that is logged."""
    shown(field, value)
