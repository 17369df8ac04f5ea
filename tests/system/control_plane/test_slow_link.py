"""Every command of the API's client behind a link that gives an answer in many small pieces."""

from collections.abc import Iterator

import click
import pytest
from attrs import define, field

from control_plane.cli import cli
from tests.support.commands import Ran
from tests.support.control_plane import ControlPlane
from tests.support.shell import ran
from tests.support.tcp_proxy import TcpProxy

PIECE_BYTES = 200
PIECES_PER_SECOND = 2000
CONNECTIONS = 25
LONG = "x" * 900
# What needs no process that answers: the database alone, or files.
WITHOUT_API = {"keys", "migrate", "serve", "settings", "operators"}
AUDIT_WITHOUT_API = {"verify", "export", "accept-restore"}


@define(eq=False)
class SlowShell:
    """Runs commands behind the link, and notes which ones."""

    plane: ControlPlane
    link: TcpProxy
    done: set[tuple[str, str]] = field(factory=set)

    async def run(
        self, *arguments: str, operator: str = "alice", given: str = "", status: int = 0
    ) -> Ran:
        """Return how a command ended, which has to be well, and in more than one piece."""
        before = self.link.bytes_answered
        settings = self.plane.shell_settings(operator)
        settings["CONTROL_PLANE_URL"] = f"http://127.0.0.1:{self.link.port}"
        finished = await ran(settings, *arguments, given=given)
        assert finished.status == status, (arguments, finished.words)
        assert self.link.bytes_answered - before > PIECE_BYTES
        self.done.add((arguments[0], arguments[1]))
        return finished


@pytest.fixture
def slow(own_plane: ControlPlane) -> Iterator[SlowShell]:
    """A shell behind a slow link to a control plane."""
    pace = float(PIECE_BYTES * PIECES_PER_SECOND)
    with TcpProxy(own_plane.port, bytes_per_second=pace, piece_bytes=PIECE_BYTES) as link:
        yield SlowShell(own_plane, link)


def api_commands() -> set[tuple[str, str]]:
    """Return every command that calls the API."""
    context = click.Context(cli)
    return {
        (group_name, name)
        for group_name in cli.list_commands(context)
        if group_name not in WITHOUT_API
        for name in _names(cli.get_command(context, group_name))
        if group_name != "audit" or name not in AUDIT_WITHOUT_API
    }


def _names(group: click.Command | None) -> list[str]:
    assert isinstance(group, click.Group)
    return group.list_commands(click.Context(group))


async def test_every_command_reads_its_answer_to_the_end(slow: SlowShell) -> None:
    """A list of thirty thousand bytes comes in hundreds of pieces; what is printed is the same."""
    alice = slow.plane.client("alice")
    for number in range(CONNECTIONS):
        await alice.connect(f"registry-{number}.example", description=LONG)
    for arguments in (("connections", "list"), ("connections", "list", "--json")):
        near = await ran(slow.plane.shell_settings("alice"), *arguments)
        far = await slow.run(*arguments)
        assert far.output == near.output
        assert far.output.count("registry-") == CONNECTIONS

    role = ("--role-arn", "arn:aws:iam::123456789012:role/pull-for-devices")
    ecr = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
    await slow.run("connections", "add", ecr, "--provider", "aws_ecr", *role)
    await slow.run("connections", "grant", ecr)
    await slow.run("connections", "check", "registry.invalid", "--anonymous", status=3)
    host = "ghcr.io"
    add = ("connections", "add", host, "--username", "robot", "--token-stdin", "--no-check")
    await slow.run(*add, given="secret")
    await _approve(slow, host)
    rotate = ("connections", "rotate", host, "--token-stdin", "--no-check")
    await slow.run(*rotate, given="another")
    await _approve(slow, host)
    await slow.run("connections", "edit", host, "--repository", "team/app", "--no-check")
    await slow.run("connections", "discard", host)
    await slow.run("connections", "revoke", host, operator="bob")

    device = "spiffe://example.com/fleet/line-a/device/press-7"
    await slow.run("devices", "revoke", device, operator="bob")
    others = "\n".join(f"{device}-{number}" for number in range(CONNECTIONS))
    await slow.run("devices", "revoke", "--from", "-", operator="bob", given=others)
    listed = await slow.run("devices", "list", operator="bob")
    assert listed.output.count(device) == CONNECTIONS + 1
    await slow.run("devices", "lift", device, operator="bob")
    entries = await slow.run("audit", "list", "--json")
    assert len(entries.result) > 2 * CONNECTIONS
    assert slow.done == api_commands()


async def _approve(slow: SlowShell, host: str) -> None:
    shown = (await slow.run("connections", "show", host, "--json")).result
    seen = (shown["draft"] or shown)["fingerprint"]
    await slow.run("connections", "approve", host, "--fingerprint", seen, operator="bob")
