"""How many bytes a server took from the registry behind it, by the registry's log."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.content import Content
from tests.bench.upstream import bytes_of, is_answering

BLOB = Content("team/app", "blobs", f"sha256:{'a' * 64}", 1048576)
LINE = (
    'time="2026-11-24T01:27:08.053820514Z" level=info msg="{message}" go.version=go1.19.8 '
    'http.request.host="127.0.0.1:30436" http.request.id=904842cc-06e0-497f-a86a-f0ac3a0c095c '
    'http.request.method=GET http.request.uri="/v2/{path}" http.request.useragent=Go '
    "http.response.duration=16.160301ms http.response.status=200 http.response.written=1048576\n"
)


def line(*, path: str = BLOB.path, message: str = "response completed") -> bytes:
    """Return a line as distribution 2.8 writes it."""
    return LINE.format(path=path, message=message).encode()


def test_an_answer_counts_with_what_was_written() -> None:
    """Whole or broken off."""
    assert bytes_of(line(), BLOB) == 1048576


def test_another_digest_does_not_count() -> None:
    """Each measure has a blob of its own."""
    assert bytes_of(line(path=BLOB.path.replace("a", "b")), BLOB) == 0


def test_an_answer_counts_once() -> None:
    """The registry writes more than one line about each."""
    assert bytes_of(line(message="authorized request"), BLOB) == 0
    access = b'127.0.0.1 - - [24/Nov/2026:01:27:08 +0000] "GET /v2/%s HTTP/1.1" 200 1048576 "" ""'
    assert bytes_of(access % BLOB.path.encode(), BLOB) == 0


@given(st.binary())
def test_any_other_line_counts_nothing(content: bytes) -> None:
    """Whatever else is logged."""
    assert bytes_of(content, BLOB) == 0


@pytest.mark.parametrize("ended", ["response completed", "response completed with error"])
def test_a_registry_answers_until_it_has_said_of_each_that_it_is_done(ended: str) -> None:
    """What one server still reads is not to be counted for the next one."""
    begun = line(message="authorized request")
    assert not is_answering(b"")
    assert is_answering(begun + begun + line(message=ended))
    assert not is_answering(begun + begun + 2 * line(message=ended))
