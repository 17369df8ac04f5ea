"""Every command of the API's client behind a link that gives an answer in many small pieces."""

from collections.abc import Iterator

import click
import pytest
from attrs import define, field

from control_plane.cli import cli
from tests.support.commands import Ran
from tests.support.console_client import console_client
from tests.support.control_plane import ControlPlane
from tests.support.shell import ran
from tests.support.tcp_proxy import TcpProxy

PIECE_BYTES = 200
PIECES_PER_SECOND = 2000
CONNECTIONS = 25
LONG = "x" * 900
# What needs no process that answers: the database alone, or files.
WITHOUT_API = {"keys", "migrate", "serve", "settings", "operators", "webhooks", "schema"}
# `test_login.py` runs the one, `test_completion.py` reads what the other prints.
OTHERWISE = {"login", "logout", "completion"}
AUDIT_WITHOUT_API = {"verify", "export", "accept-restore"}


@define(eq=False)
class SlowShell:
    """Runs commands behind the link, and notes which ones."""

    plane: ControlPlane
    link: TcpProxy
    done: set[tuple[str, ...]] = field(factory=set)

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
        self.done.add(arguments[:2] if arguments[0] in _groups() else (arguments[0],))
        return finished


@pytest.fixture
def slow(own_plane: ControlPlane) -> Iterator[SlowShell]:
    """A shell behind a slow link to a control plane."""
    pace = float(PIECE_BYTES * PIECES_PER_SECOND)
    with TcpProxy(own_plane.port, bytes_per_second=pace, piece_bytes=PIECE_BYTES) as link:
        yield SlowShell(own_plane, link)


def api_commands() -> set[tuple[str, ...]]:
    """Return every command that calls the API."""
    names = {
        (group_name, name)
        for group_name, group in _groups().items()
        for name in group.list_commands(click.Context(group))
        if group_name != "audit" or name not in AUDIT_WITHOUT_API
    }
    alone = {(name,) for name in cli.list_commands(click.Context(cli)) if name not in _groups()}
    of_groups = {each for each in names if each[0] not in WITHOUT_API}
    return of_groups | {each for each in alone if each[0] not in WITHOUT_API | OTHERWISE}


def _groups() -> dict[str, click.Group]:
    context = click.Context(cli)
    commands = {name: cli.get_command(context, name) for name in cli.list_commands(context)}
    return {name: each for name, each in commands.items() if isinstance(each, click.Group)}


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
    await slow.run("connections", "review", host)
    await slow.run("connections", "send-back", host, "--comment", "why?", operator="bob")
    await slow.run("connections", "discard", host)
    await slow.run("connections", "history", host)
    await slow.run("connections", "revoke", host, operator="bob")

    exported = await slow.run("export")
    assert exported.output.count("host: registry-") == CONNECTIONS
    await slow.run("apply", "-f", "-", "--no-check", given=exported.output)

    device = "spiffe://example.com/fleet/line-a/device/press-7"
    await slow.run("devices", "revoke", device, operator="bob")
    others = "\n".join(f"{device}-{number}" for number in range(CONNECTIONS))
    await slow.run("devices", "revoke", "--from", "-", operator="bob", given=others)
    listed = await slow.run("devices", "list", operator="bob")
    assert listed.output.count(device) == CONNECTIONS + 1
    await slow.run("devices", "lift", device, operator="bob")
    for _ in range(2):
        async with console_client(slow.plane, "alice") as browser:
            assert (await browser.get("/console/me")).status == 200
    sessions = (await slow.run("sessions", "list", "--json")).result
    assert len(sessions) == 2
    await slow.run("sessions", "end", sessions[0]["id"])
    assert "alice" in (await slow.run("sessions", "who", operator="root")).output
    entries = await slow.run("audit", "list", "--json")
    assert len(entries.result) > 2 * CONNECTIONS
    assert slow.done == api_commands()


async def _approve(slow: SlowShell, host: str) -> None:
    shown = (await slow.run("connections", "show", host, "--json")).result
    seen = (shown["draft"] or shown)["fingerprint"]
    await slow.run("connections", "approve", host, "--fingerprint", seen, operator="bob")
