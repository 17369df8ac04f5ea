"""`Retry-After` in both its forms, and bounded."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.upstream.retry_after import MAX_RETRY_AFTER_SECONDS, retry_after_seconds

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "value, seconds",
    [
        ("0", 0.0),
        ("17", 17.0),
        ("999999", 60.0),
        ("Mon, 23 Nov 2026 12:00:20 GMT", 20.0),
        ("Mon, 23 Nov 2026 12:00:20 -0000", 20.0),
        ("Mon, 23 Nov 2026 11:00:00 GMT", 0.0),
        ("Mon, 23 Nov 2099 12:00:00 GMT", 60.0),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("1" * 5000, None),
        ("Mon, 99 Nov 99999999 12:00:20 GMT", None),
    ],
)
def test_a_delay_is_read(value: str, seconds: float | None) -> None:
    """Seconds or a date; what is in the past means now, what is too long means a minute."""
    assert retry_after_seconds({"Retry-After": value}, NOW) == seconds


def test_without_the_header_there_is_no_delay() -> None:
    """The caller chooses its own."""
    assert retry_after_seconds({}, NOW) is None


@given(st.text())
def test_any_text_is_a_bounded_delay_or_none(value: str) -> None:
    """Nothing raises."""
    delay = retry_after_seconds({"Retry-After": value}, NOW)
    assert delay is None or 0 <= delay <= MAX_RETRY_AFTER_SECONDS
