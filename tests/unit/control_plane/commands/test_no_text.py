"""What is typed in another encoding than UTF-8, as in an old locale, is named like any mistake."""

import pytest

from tests.support.commands import run_command

NO_UTF_8 = b"caf\xe9".decode(errors="surrogateescape")  # Latin-1, as Python has an argument


@pytest.mark.parametrize(
    "arguments, names",
    [
        (("connections", "add", "ghcr.io", "--anonymous", "--description"), ["--description"]),
        (("connections", "add", "ghcr.io", "--anonymous", "--fleet"), ["--fleet"]),
        (("connections", "revoke", "ghcr.io", "--yes", "--reason"), ["--reason"]),
        (("connections", "list", "--search"), ["--search"]),
        (("devices", "revoke", "--yes"), ["DEVICE"]),
        (("devices", "revoke", "--yes", "--reason", NO_UTF_8), ["--reason", "DEVICE"]),
        (("sessions", "end", "--yes"), ["SESSION"]),
        (("audit", "list", "--actor"), ["--actor"]),
        (("audit", "accept-restore", "--head"), ["--head"]),
        (("webhooks", "test"), ["TARGET"]),
    ],
)
def test_text_that_is_not_utf_8_is_named(arguments: tuple[str, ...], names: list[str]) -> None:
    """Before anything is asked: no JSON and no database holds it."""
    refused = run_command({}, *arguments, NO_UTF_8)
    assert (refused.status, refused.output) == (2, "")
    assert refused.words.count("expected UTF-8 text") == len(names)
    for name in names:
        assert name in refused.words


def test_a_path_may_have_any_bytes() -> None:
    """As the file system has them."""
    refused = run_command({}, "apply", "--file", NO_UTF_8)
    assert (refused.status, "there is no such file" in refused.words) == (2, True)
