"""A wrong call from a shell: everything that is wrong with it, at once, and exit status 2."""

import pytest

from tests.support.control_plane import ControlPlane
from tests.support.shell import ran, shell

NOTHING_SET = {"CONTROL_PLANE_TOKEN": "rfo_alice." + "x" * 43}


@pytest.mark.parametrize(
    "arguments, words",
    [
        ("operators add Not-A-Name --role king --expires soon",
         ["NAME", "'--role'", "'--expires'", "90d"]),
        ("operators add --expires 99999d x y z",
         ["Missing option '--role'", "'--expires'", "unexpected extra arguments (y z)"]),
        ("connections add --provider x --ca-certificate /no/such/file",
         ["Missing argument 'HOST'", "'--provider'", "'--ca-certificate'"]),
        ("connections approve",
         ["Missing argument 'CONNECTION'", "Missing option '--fingerprint'"]),
        (("connections add ghcr.io --token-stdin --service-account-key-file /dev/null"
         " --external-id x1 --no-external-id"),
         ["--token-stdin", "--service-account-key-file", "--external-id", "--no-external-id"]),
        (("connections edit ghcr.io --fleet a --all-fleets --repository x --all-repositories"
         " --anonymous --username u --ask-token --token-stdin"),
         ["--fleet", "--all-fleets", "--repository", "--all-repositories", "--anonymous",
          "--username", "--ask-token", "--token-stdin"]),
        ("devices revoke press-7 --issuer CN=x --serial abc", ["DEVICE", "--serial"]),
        ("devices revoke --issuer CN=x",
         ["one of DEVICE, --serial and --from", "--issuer with --serial"]),
        ("devices list press-7 --issuer CN=x", ["--issuer with --serial"]),
        ("keys", ["Missing option '--out'"]),
    ],
)  # fmt: skip
async def test_everything_wrong_with_a_call_is_said(arguments: str, words: list[str]) -> None:
    """One round of corrections is enough."""
    refused = await ran(NOTHING_SET, *arguments.split())
    assert (refused.status, refused.output) == (2, "")
    assert [word for word in words if word not in refused.words] == []


async def test_everything_wrong_with_a_host_is_said(plane: ControlPlane) -> None:
    """As the API says it, a line for each."""
    add = ("connections", "add", "http://foo_bar:99999/x?y", "--prefix", "/", "--no-check")
    for login, status in (("--anonymous", 1), ("--plain-http", 2)):  # none, which is wrong as well
        refused = await shell(plane, *add, login)
        assert refused.status == status
        assert len([line for line in refused.words.splitlines() if "/host" in line]) == 5
        for word in ("plain_http", "query", "1 to 65535", "'-'", "path", "/repository_prefix"):
            assert word in refused.words
