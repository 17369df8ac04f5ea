"""Whatever takes something from somebody asks at a terminal first; one table for all of it.

Without a terminal nobody is asked: scripts go on as they did before anything asked.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final

import click
import pytest
import yaml
from attrs import frozen

from control_plane.cli import cli
from tests.support.console_client import console_client
from tests.support.control_plane import ControlPlane, approved_connection
from tests.support.shell import ran
from tests.support.terminal import INTERRUPT, at_terminal

UNCHANGED: Final = "nothing was changed"
# What a command is called that takes something away. `rotate` and `edit` give, `lift` gives back.
TAKING: Final = frozenset({"revoke", "remove", "discard", "end", "delete", "prune"})
Prepare = Callable[[ControlPlane, str, Path], Awaitable[tuple[str, ...]]]


@frozen
class Taking:
    """A command that takes something away, what it asks, who may, and of what."""

    question: str
    operator: str | None
    prepare: Prepare
    is_asked_without_terminal: bool = False


async def a_connection(plane: ControlPlane, host: str, _: Path) -> tuple[str, ...]:
    """One that serves."""
    await approved_connection(plane, host)
    return (host,)


async def a_draft(plane: ControlPlane, host: str, _: Path) -> tuple[str, ...]:
    """One beside what serves."""
    view = await approved_connection(plane, host)
    await plane.client("alice").edit(view["id"], fleets=["a"])
    return (host,)


async def an_operator(plane: ControlPlane, host: str, _: Path) -> tuple[str, ...]:
    """Somebody who may look."""
    name = host.partition(".")[0]
    await plane.client("root").call("POST", "/v1/operators", {"name": name, "role": "viewer"})
    return (name,)


async def a_device(_: ControlPlane, host: str, __: Path) -> tuple[str, ...]:
    """One by its name."""
    return (f"spiffe://{host}/fleet/a/device/b",)


async def a_certificate(_: ControlPlane, __: str, ___: Path) -> tuple[str, ...]:
    """One by its number."""
    return ("--serial", uuid.uuid4().hex)


async def a_file_of_devices(_: ControlPlane, host: str, folder: Path) -> tuple[str, ...]:
    """Two of them."""
    path = folder / "devices.txt"
    path.write_text("".join(f"spiffe://{host}/fleet/a/device/{number}\n" for number in range(2)))
    return ("--from", str(path))


async def a_session(plane: ControlPlane, _: str, __: Path) -> tuple[str, ...]:
    """One of bob's."""
    async with console_client(plane, None) as browser:
        assert (await browser.sign_in(plane.tokens["bob"])).status == 303
    answer = await plane.client("bob").call("GET", "/v1/sessions")
    return (answer.json["items"][0]["id"],)


async def all_sessions(plane: ControlPlane, host: str, folder: Path) -> tuple[str, ...]:
    """All of bob's, of which there is one."""
    await a_session(plane, host, folder)
    return ("--all",)


async def a_set(plane: ControlPlane, host: str, folder: Path) -> tuple[str, ...]:
    """Files that no longer name what they connected."""
    await approved_connection(plane, host, set_name=host)
    path = folder / "set.yaml"
    path.write_text(yaml.safe_dump({"set": host, "connections": {}}))
    return ("-f", str(path), "--prune")


TABLE: Final = {
    "connections revoke": Taking("Revoke ", "bob", a_connection),
    "connections discard": Taking("Discard the draft", "alice", a_draft),
    "operators remove": Taking("Remove ", None, an_operator),
    "devices revoke": Taking("Revoke spiffe", "bob", a_device),
    "devices revoke --serial": Taking("Revoke serial:", "bob", a_certificate),
    "devices revoke --from": Taking("Revoke the 2 of", "bob", a_file_of_devices),
    "sessions end": Taking("End the session", "bob", a_session),
    "sessions end --all": Taking("End every session", "bob", all_sessions),
    "apply --prune": Taking("Revoke them?", "bob", a_set, is_asked_without_terminal=True),
}


def leaves(group: click.Group, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of each command."""
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        if isinstance(found, click.Group):
            yield from leaves(found, (*words, name))
        else:
            yield (*words, name)


def test_whatever_takes_something_away_is_in_the_table() -> None:
    """A new command of such a name needs a row."""
    taking = {" ".join(words) for words in leaves(cli) if words[-1] in TAKING}
    assert taking == {words.partition(" --")[0] for words in TABLE} - {"apply"}


async def entries(plane: ControlPlane) -> int:
    """Count what was done, by whomever."""
    return len(await plane.client("eve").audit())


@pytest.mark.parametrize("words", TABLE)
async def test_at_a_terminal_no_changes_nothing_and_yes_goes_on(
    plane: ControlPlane, host: str, tmp_path: Path, words: str
) -> None:
    """No changes nothing; with --yes nobody is asked."""
    row = TABLE[words]
    settings = plane.shell_settings(row.operator)
    arguments = await row.prepare(plane, host, tmp_path)
    line = (*words.partition(" --")[0].split(), *arguments)
    before = await entries(plane)
    refused = await asyncio.to_thread(at_terminal, settings, *line, answers={row.question: "n"})
    assert (refused.status, UNCHANGED in refused.screen) == (1, True), refused.screen
    assert await entries(plane) == before
    done = await asyncio.to_thread(at_terminal, settings, *line, answers={row.question: "y"})
    assert done.status == 0, done.screen
    after = await entries(plane)
    assert after > before
    again = await row.prepare(plane, f"again-{host}", tmp_path)
    line = (*words.partition(" --")[0].split(), *again)
    unasked = await asyncio.to_thread(at_terminal, settings, *line, "--yes")
    assert (unasked.status, row.question in unasked.screen) == (0, False), unasked.screen
    assert await entries(plane) > after


@pytest.mark.parametrize(
    "words, question, prepare",
    [
        ("devices revoke", "Revoke spiffe", a_device),
        ("connections approve", "Approve this?", a_draft),
        ("connections rotate", "Token:", a_connection),
        ("connections add", "User name", a_device),
    ],
)
async def test_an_interrupt_ends_a_command_that_asks(
    plane: ControlPlane, host: str, tmp_path: Path, words: str, question: str, prepare: Prepare
) -> None:
    """At once, and nothing is changed."""
    (name,) = await prepare(plane, host, tmp_path)
    before = await entries(plane)
    line = (*words.split(), host if words == "connections add" else name)
    settings, answers = plane.shell_settings("bob"), {question: INTERRUPT}
    ended = await asyncio.to_thread(at_terminal, settings, *line, answers=answers)
    assert (ended.status, "Aborted!" in ended.screen) == (1, True), ended.screen
    assert await entries(plane) == before


@pytest.mark.parametrize("words", TABLE)
async def test_without_a_terminal_nobody_is_asked(
    plane: ControlPlane, host: str, tmp_path: Path, words: str
) -> None:
    """What it did before it asked anybody; --prune names nothing itself, and wants --yes."""
    row = TABLE[words]
    arguments = await row.prepare(plane, host, tmp_path)
    line = (*words.partition(" --")[0].split(), *arguments)
    settings, before = plane.shell_settings(row.operator), await entries(plane)
    done = await ran(settings, *line)
    if row.is_asked_without_terminal:
        assert (done.status, "--yes" in done.words) == (2, True)
        assert await entries(plane) == before
        done = await ran(settings, *line, "--yes")
    assert (done.status, row.question in done.words) == (0, False), done.words
    assert await entries(plane) > before
