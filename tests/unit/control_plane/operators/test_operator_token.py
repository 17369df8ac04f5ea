"""Operator names and tokens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.operators.operator_token import (
    InvalidOperatorNameError,
    InvalidOperatorTokenError,
    OperatorName,
    OperatorToken,
)

NAMES = st.from_regex(r"[a-z0-9](?:[a-z0-9._@+-]{0,62}[a-z0-9])?", fullmatch=True).filter(
    str.isascii
)


@given(NAMES)
def test_a_minted_token_is_read_again(name: str) -> None:
    """With the name that it was minted for, dots and all."""
    minted = OperatorToken.mint(OperatorName.parse(name))
    read = OperatorToken.parse(minted.secret.reveal_text())
    assert (read.name, read.secret, read.sha256) == (minted.name, minted.secret, minted.sha256)


def test_no_two_tokens_are_alike() -> None:
    """Each has 256 bits of its own."""
    name = OperatorName.parse("alice")
    assert len({OperatorToken.mint(name).sha256 for _ in range(100)}) == 100


@given(st.text())
def test_anything_else_is_no_token_and_is_not_quoted(text: str) -> None:
    """The error may be logged; the text may not."""
    with pytest.raises(InvalidOperatorTokenError) as refused:
        OperatorToken.parse(f"rfo_{text}")
    assert str(refused.value) == "an operator's token is rfo_<name>.<43 characters>"


@pytest.mark.parametrize(
    "text", ["", "Alice", "a b", "shell:root", ".a", "a.", "a/b", "é", "a" * 65, "a\n"]
)
def test_what_is_no_name(text: str) -> None:
    """A colon would look like an actor of a shell, a slash like another subject."""
    with pytest.raises(InvalidOperatorNameError):
        OperatorName.parse(text)


def test_a_token_does_not_print() -> None:
    """Neither whole nor in part."""
    token = OperatorToken.mint(OperatorName.parse("alice"))
    shown = f"{token!r} {token} {token.secret}"
    assert token.secret.reveal_text().partition(".")[2] not in shown
