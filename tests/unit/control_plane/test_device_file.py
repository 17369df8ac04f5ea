"""A file of devices: any bytes are what to revoke or are refused, and batches fit into a body."""

from io import BytesIO

import click
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.commands.device_file import MAX_FILE_BYTES, batches, read_devices
from control_plane.commands.given_file import GivenFile
from control_plane.device_revocations.request import MAX_REVOCATIONS, parse_revocation_requests
from control_plane.http.http_call import MAX_REVOCATIONS_BODY_BYTES

LINES = st.lists(
    st.sampled_from([b"press-7", b"serial:0A:BC", b"serial:ab CN=Device CA", b"", b"a b"])
    | st.binary(max_size=30)
)


def given_file(content: bytes) -> GivenFile:
    """Return a file of this content."""
    return GivenFile("a", BytesIO(content))


@given(LINES.map(b"\n".join))
def test_any_file_is_requests_or_is_refused(content: bytes) -> None:
    """What it gives is what the API takes; nothing of a line is quoted."""
    try:
        asked = read_devices(given_file(content), "stolen")
    except click.UsageError as error:
        words = error.message
    else:
        assert len(asked) == sum(bool(line.strip()) for line in content.splitlines())
        assert len(parse_revocation_requests({"revocations": asked})) == len(asked)
        return
    assert all(line.startswith(("line ", "and ", "a names no ")) for line in words.splitlines())
    assert "a b" not in words


def test_a_file_that_is_too_large_is_refused() -> None:
    """It is held as a whole, so that a wrong line is known before anything is sent."""
    with pytest.raises(click.UsageError, match="larger than"):
        read_devices(given_file(b"\n" * (MAX_FILE_BYTES + 1)), "")


def test_a_batch_fits_into_one_call() -> None:
    """By number, and by bytes where ids are long; each is in one batch, in order."""
    short = [{"device": f"press-{number}"} for number in range(MAX_REVOCATIONS + 1)]
    assert [len(batch) for batch in batches(short)] == [MAX_REVOCATIONS, 1]
    long = [{"device": f"{'x' * 2000}-{number}"} for number in range(5000)]
    parts = list(batches(long))
    assert [each for part in parts for each in part] == long
    for part in parts:
        assert len(orjson.dumps({"revocations": part})) <= MAX_REVOCATIONS_BODY_BYTES
    assert len(parts) > 1
    assert list(batches([])) == []
