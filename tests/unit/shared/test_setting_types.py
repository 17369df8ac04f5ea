"""The forms of settings: what each accepts, what it refuses, and that nothing else is raised."""

import errno
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.bounded_file import UnusableFileError
from shared.setting_types import (
    ListenAddress,
    duration_text,
    form_of,
    parse_bool,
    parse_byte_size,
    parse_duration,
    parse_http_url,
    parse_int,
    parse_listen_address,
    parse_networks,
    parse_path,
    parse_positive_duration,
    parse_readable_file,
    require_readable_file,
)
from shared.unreadable_file import UnreadableFileError, why_unreadable

Parse = Callable[[str], object]
NOT_ASCII_DIGITS = "\u0661\u0662"
LINE_BREAKS = ["{}\n", "\n{}", " {}", "{} ", "{}\0"]

ACCEPTED: list[tuple[Parse, str, object]] = [
    (parse_bool, "true", True),
    (parse_bool, "false", False),
    (parse_int, "0", 0),
    (parse_int, "-17", -17),
    (parse_duration, "250ms", 0.25),
    (parse_duration, "0s", 0.0),
    (parse_duration, "30s", 30.0),
    (parse_duration, "5m", 300.0),
    (parse_duration, "24h", 86400.0),
    (parse_duration, "90d", 7776000.0),
    (parse_positive_duration, "1ms", 0.001),
    (parse_byte_size, "0", 0),
    (parse_byte_size, "1048576", 1048576),
    (parse_byte_size, "4KiB", 4096),
    (parse_byte_size, "512MiB", 512 * 2**20),
    (parse_byte_size, "10GiB", 10 * 2**30),
    (parse_byte_size, "2TiB", 2 * 2**40),
    (parse_listen_address, "127.0.0.1:8080", ListenAddress("127.0.0.1", 8080)),
    (parse_listen_address, "0.0.0.0:8443", ListenAddress("0.0.0.0", 8443)),  # noqa: S104  # the facade's default
    (parse_listen_address, "[::1]:8080", ListenAddress("::1", 8080)),
    (parse_listen_address, "[::]:0", ListenAddress("::", 0)),
    (parse_networks, "10.0.0.0/8", (ip_network("10.0.0.0/8"),)),
    (parse_networks, "10.0.0.0/8, fd00::/8", (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))),
    (parse_networks, "192.0.2.7", (ip_network("192.0.2.7/32"),)),
    (parse_path, "/var/lib/x", Path("/var/lib/x")),
    (parse_http_url, "https://sts.example:8443/path", "https://sts.example:8443/path"),
    (parse_http_url, "http://127.0.0.1:5000", "http://127.0.0.1:5000"),
]
REFUSED: dict[Parse, list[str]] = {
    parse_bool: ["True", "1", "yes", "on", ""],
    parse_int: ["", "1.0", "1e3", "0x1", "1_000", "+1", "--1", "9" * 16, NOT_ASCII_DIGITS],
    parse_duration: ["", "30", "s", "-1s", "1.5s", "1h30m", "1w", "1S", "9" * 10 + "s", "1 s"],
    parse_positive_duration: ["0s", "0ms", "0d", "-1s"],
    parse_byte_size: ["", "10GB", "10gib", "10G", "1.5GiB", "-1", "1 GiB", "GiB", "9" * 16],
    parse_listen_address: [
        "",
        "8080",
        ":8080",
        "localhost:8080",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:08080",
        "127.0.0.1:-1",
        "127.1:8080",
        "127.0.0.01:8080",
        "::1:8080",
        "[::1]",
        "[127.0.0.1]:8080",
        "[fe80::1%eth0]:8080",
        "[::g]:8080",
        "256.0.0.1:80",
        "127.0.0.1:8080/",
        f"127.0.0.1:{NOT_ASCII_DIGITS}",
    ],
    parse_networks: ["", ",", "10.0.0.0/8,", "10.0.0.1/8", "10.0.0.0/33", "example.com", "*"],
    parse_path: ["a\0b"],
    parse_readable_file: ["a\0b"],
    parse_http_url: [
        "",
        "sts.example",
        "//sts.example",
        "ftp://sts.example",
        "https://",
        "https:///path",
        "https://user:password@sts.example",
        "https://sts.example/?q=1",
        "https://sts.example/#f",
        "https://sts.example:0",
        "https://sts.example:99999",
        "https://sts example",
        "https://[::1",
        "https://b\u00fccher.example",
    ],
}


@pytest.mark.parametrize("parse, text, value", ACCEPTED)
def test_documented_forms_are_accepted(parse: Parse, text: str, value: object) -> None:
    """As the interface and every runbook write them."""
    assert parse(text) == value


@pytest.mark.parametrize(
    "parse, text", [(parse, text) for parse in REFUSED for text in REFUSED[parse]]
)
def test_other_forms_are_refused(parse: Parse, text: str) -> None:
    """A guess at what was meant is a surprise later."""
    with pytest.raises((ValueError, KeyError)):
        parse(text)


@pytest.mark.parametrize("spoil", LINE_BREAKS)
@pytest.mark.parametrize(
    "parse, text",
    [(parse, text) for parse, text, _ in ACCEPTED if parse not in {parse_path, parse_networks}],
)
def test_white_space_and_nul_around_a_value_are_refused(
    parse: Parse, text: str, spoil: str
) -> None:
    """What was meant cannot be told."""
    with pytest.raises((ValueError, KeyError)):
        parse(spoil.format(text))


@given(st.sampled_from(list(REFUSED)), st.text())
def test_any_text_is_read_or_refused_with_one_kind_of_error(parse: Parse, text: str) -> None:
    """`load` turns these errors into words; another would show the value in a traceback."""
    try:
        parse(text)
    except (ValueError, KeyError):
        return


@given(st.ip_addresses(), st.integers(0, 65535))
def test_a_listen_address_comes_back_from_its_text(address: object, port: int) -> None:
    """The log shows where a process listens in the form of the setting."""
    listen = ListenAddress(str(address), port)
    assert parse_listen_address(str(listen)) == listen


@pytest.mark.parametrize(
    "host, loopback",
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("0.0.0.0", False), ("::", False)],  # noqa: S104  # all interfaces is the case that must not pass
)
def test_loopback_is_told_from_what_others_can_reach(host: str, loopback: bool) -> None:  # noqa: FBT001  # a table
    """Plain HTTP is refused anywhere else."""
    assert ListenAddress(host, 80).is_loopback is loopback


def test_a_file_that_can_be_opened_is_readable(tmp_path: Path) -> None:
    """Not a folder, and not one that is missing."""
    file = tmp_path / "key.pem"
    file.touch()
    require_readable_file(file)
    assert parse_readable_file(str(file)) == file
    (loop := tmp_path / "loop").symlink_to(loop)
    for path, words in (
        (tmp_path, "it is a folder"),
        (tmp_path / "missing", "there is no such file"),
        (file / "below", "a part of its path is a file"),
        (loop, "leads back to itself"),
        (tmp_path / ("x" * 300), "the path is too long"),
    ):
        with pytest.raises(UnreadableFileError, match=words):
            require_readable_file(path)


def test_a_type_without_a_form_is_the_programmers_error() -> None:
    """Silence would read it as text."""
    with pytest.raises(TypeError):
        form_of(complex)


@given(st.integers(0, 10**9))
def test_a_duration_is_written_as_it_is_read(milliseconds: int) -> None:
    """A default in a table can be pasted."""
    seconds = milliseconds / 1000
    assert parse_duration(duration_text(seconds)) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "seconds, text",
    [(0.0, "0s"), (0.25, "250ms"), (30.0, "30s"), (90.0, "90s"), (3600.0, "1h"), (86400.0, "24h")],
)
def test_a_duration_is_written_as_people_write_it(seconds: float, text: str) -> None:
    """In the largest unit without a remainder."""
    assert duration_text(seconds) == text


def test_a_file_of_somebody_else_is_told_from_one_that_is_missing() -> None:
    """Tests run as root, too, who may read everything."""
    denied = why_unreadable(PermissionError(errno.EACCES, "Permission denied", "canary"))
    assert denied.startswith("this process may not read it")
    assert why_unreadable(OSError(errno.EIO, "canary")) == "input/output error"
    assert why_unreadable(OSError("canary")) == "OSError"
    assert why_unreadable(UnusableFileError("it is no file")) == "it is no file"
