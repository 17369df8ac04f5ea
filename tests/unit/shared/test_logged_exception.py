"""What is logged of an exception: types and places; messages of our own alone."""

import traceback
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from shared.environment import ConfigurationError
from shared.logged_exception import MAX_CHAIN, MAX_FRAMES, describe_exception, frame
from shared.oci import Digest, InvalidDigestError
from shared.safe_message import SafeMessage
from shared.secret import Secret

CANARY = "canary5f3a"


class SafeError(SafeMessage, Exception):
    """One of ours."""


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    """Return an error that was raised here, with a canary among the locals."""

    def fail(local: str) -> None:
        if local:
            raise error from cause

    with pytest.raises(type(error)) as caught:
        fail(CANARY)
    return caught.value


def described(error: BaseException) -> list[dict[str, Any]]:
    """Describe an error, and see that no canary came along."""
    chain = describe_exception(error)
    assert CANARY not in repr(chain)
    return chain


def test_a_foreign_message_is_not_shown() -> None:
    """It may carry upstream's bytes, or a database URL with its password."""
    (only,) = described(raised(ValueError(CANARY, Secret(CANARY))))
    assert (only["type"], only["module"]) == ("ValueError", "builtins")
    assert "message" not in only


def test_a_message_of_our_own_is_shown_bounded() -> None:
    """It quotes nothing from outside, by the mark that its class bears."""
    (only,) = described(raised(SafeError("why\n" + "x" * 1000)))
    assert only["message"].startswith("why\\n")
    assert len(only["message"]) < 600


def test_our_refusals_bear_the_mark() -> None:
    """Their words are what an operator needs."""
    with pytest.raises(InvalidDigestError) as caught:
        Digest.parse(CANARY)
    (only,) = described(caught.value)
    assert "sha256" in only["message"]
    (configuration,) = described(ConfigurationError(["APP_A: required"]))
    assert configuration["message"] == "APP_A: required"


def test_the_place_is_shown_without_locals_and_source() -> None:
    """The innermost frame is last."""
    (only,) = described(raised(ValueError(CANARY)))
    assert only["frames"][-1].startswith("unit/shared/test_logged_exception.py:")
    assert only["frames"][-1].endswith(":fail")


def test_causes_come_after_what_they_caused() -> None:
    """Explicit ones, and those that were being handled."""
    chain = described(raised(SafeError("outer"), raised(KeyError(CANARY), OSError(2, CANARY))))
    assert [each["type"] for each in chain] == ["SafeError", "KeyError", "FileNotFoundError"]
    assert chain[2]["errno"] == "ENOENT"
    during = ValueError()
    during.__context__ = KeyError(CANARY)
    assert [each["type"] for each in described(during)] == ["ValueError", "KeyError"]
    during.__suppress_context__ = True
    assert [each["type"] for each in described(during)] == ["ValueError"]


def test_members_of_a_group_are_shown() -> None:
    """A task group hides what really happened."""
    group = ExceptionGroup(CANARY, [ValueError(CANARY), OSError(CANARY)])
    assert [each["type"] for each in described(group)] == [
        "ExceptionGroup",
        "ValueError",
        "OSError",
    ]


def test_a_circle_and_a_long_chain_end() -> None:
    """A line is bounded, whatever was raised."""
    one, other = ValueError(), KeyError()
    one.__cause__, other.__cause__ = other, one
    assert len(described(one)) == 2
    error: BaseException = ValueError()
    for _ in range(100):
        following = ValueError(CANARY)
        following.__cause__ = error
        error = following
    assert len(described(error)) == MAX_CHAIN


def test_a_deep_stack_shows_its_innermost_frames() -> None:
    """Recursion errors are deep."""

    def dive(left: int) -> None:
        if not left:
            raise ValueError(CANARY)
        dive(left - 1)

    with pytest.raises(ValueError, match=CANARY) as caught:
        dive(100)
    (only,) = described(caught.value)
    assert len(only["frames"]) == MAX_FRAMES
    assert only["frames"][-1].endswith(":dive")
    assert len(traceback.extract_tb(caught.value.__traceback__)) > MAX_FRAMES


def test_a_postgres_error_shows_its_code() -> None:
    """Its message and detail may quote a row."""
    error = asyncpg.UniqueViolationError(CANARY)
    (only,) = described(error)
    assert (only["type"], only["sqlstate"]) == ("UniqueViolationError", "23505")


class HostileError(Exception):
    """Whatever asks it for a text gets the canary, or worse."""

    sqlstate = CANARY

    def __str__(self) -> str:
        """Fail."""
        raise RuntimeError(CANARY)

    __repr__ = __str__


def test_an_exception_is_not_asked_for_its_text() -> None:
    """Logging never fails the thing that is logged."""
    (only,) = described(HostileError())
    assert only == {"type": "HostileError", "module": __name__, "frames": []}


@pytest.mark.parametrize(
    "place, expected",
    [
        (("/a/b/c/d.py", 7, "f"), "b/c/d.py:7:f"),
        (("<string>", None, "<module>"), "<string>:None:<module>"),
        (("/a\x1b/b.py", 1, "f"), "/a\\x1b/b.py:1:f"),
    ],
)
def test_a_frame_is_file_line_and_function(
    place: tuple[str, int | None, str], expected: str
) -> None:
    """Enough of the path to find it, nothing of the machine."""
    show: Callable[..., str] = frame
    assert show(*place) == expected
