"""A Secret never prints, whoever asks and however."""

import asyncio
import copy
import logging
import pickle
import pprint
import traceback
from collections.abc import Callable

import attrs
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.canonical_json import to_json
from shared.secret import REDACTED, Secret

CANARY = "canary-5f3a"


@attrs.frozen
class Holder:
    """A value that has a secret among its fields."""

    name: str
    token: Secret


SECRET = Secret(CANARY)
HOLDER = Holder("name", SECRET)


@pytest.mark.parametrize(
    "shown",
    [
        lambda: repr(SECRET),
        lambda: str(SECRET),
        lambda: ascii(SECRET),
        lambda: f"{SECRET}",
        lambda: f"{SECRET!r}",
        lambda: f"{SECRET!s:>40}",
        lambda: f"{SECRET:>40}",
        lambda: "%s %r" % (SECRET, SECRET),  # noqa: UP031  # this very form is what logging does
        lambda: "{}".format(SECRET),  # noqa: UP032  # this very form
        lambda: format(SECRET, "x"),
        lambda: repr([SECRET]),
        lambda: repr({"token": SECRET}),
        lambda: repr(HOLDER),
        lambda: str(attrs.asdict(HOLDER)),
        lambda: pprint.pformat({"token": SECRET}),
        lambda: repr(ValueError(SECRET)),
        lambda: str(logging.makeLogRecord({"msg": "%s", "args": (SECRET,)}).getMessage()),
    ],
)
def test_every_text_of_a_secret_is_the_redaction(shown: Callable[[], str]) -> None:
    """Nobody has to remember not to print it."""
    text = shown()
    assert CANARY not in text
    assert REDACTED in text


@pytest.mark.parametrize(
    "serialise",
    [
        *(lambda protocol=protocol: pickle.dumps(SECRET, protocol) for protocol in range(6)),
        lambda: pickle.dumps(HOLDER),
        lambda: copy.copy(SECRET),
        lambda: copy.deepcopy(HOLDER),
        lambda: orjson.dumps(SECRET),
        lambda: orjson.dumps({"token": SECRET}),
        lambda: orjson.dumps(SECRET, default=vars),
        lambda: bytes(SECRET),  # type: ignore[call-overload]  # what a careless caller writes
        lambda: memoryview(SECRET),  # type: ignore[arg-type]  # what a careless caller writes
        lambda: list(SECRET),  # type: ignore[call-overload]  # what a careless caller writes
        lambda: {SECRET: 1},
    ],
)
def test_a_secret_is_not_serialised(serialise: Callable[[], object]) -> None:
    """A copy would be a place that `reveal` does not show."""
    with pytest.raises((TypeError, orjson.JSONEncodeError)) as caught:
        serialise()
    assert CANARY not in repr(caught.value)


def test_documents_do_not_take_a_secret() -> None:
    """A document is stored, shown and signed."""
    with pytest.raises(TypeError) as caught:
        to_json(HOLDER)
    assert CANARY not in repr(caught.value)


def test_a_traceback_with_locals_shows_the_redaction() -> None:
    """Crash reporters print the locals of every frame."""

    def fail(_given: Secret) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError) as caught:
        fail(SECRET)
    described = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    text = "".join(described.format())
    assert REDACTED in text
    assert CANARY not in text


def test_a_task_that_was_given_a_secret_does_not_show_it() -> None:
    """The loop prints the arguments of slow callbacks in debug mode."""
    loop = asyncio.new_event_loop()
    try:
        assert CANARY not in repr(loop.call_soon(print, SECRET))
    finally:
        loop.close()


def test_reveal_alone_gives_the_value() -> None:
    """Every place that handles the value is found by this one word."""
    assert SECRET.reveal() == CANARY.encode()
    assert SECRET.reveal_text() == CANARY
    assert not hasattr(SECRET, "__dict__")


def test_bytes_that_are_no_text_are_not_quoted() -> None:
    """A decoding error carries the bytes that it could not decode."""
    with pytest.raises(ValueError, match="UTF-8") as caught:
        Secret(b"\xff" + CANARY.encode()).reveal_text()
    assert not isinstance(caught.value, UnicodeDecodeError)
    assert caught.value.__suppress_context__


@given(st.binary(), st.binary())
def test_secrets_are_equal_by_their_bytes(one: bytes, other: bytes) -> None:
    """A rotation to the same secret can be told."""
    assert (Secret(one) == Secret(other)) == (one == other)
    assert Secret(one) != one
