"""What a shell proposes while a line is typed."""

import asyncio
import subprocess
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from deploy.dev.product import PROGRAMS
from tests.support.control_plane import ControlPlane
from tests.support.eventually import eventually
from tests.support.shell import ran, shell
from tests.support.surroundings import of_a_child


async def proposed(settings: dict[str, str], line: str) -> list[str]:
    """Return what is proposed for the last word of a line."""
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    asked = await ran(settings | words | {"_CONTROL_PLANE_COMPLETE": "bash_complete"})
    assert (asked.status, asked.words) == (0, "")
    return [each.partition(",")[2] for each in asked.output.split()]


async def found_in_time(ask: Callable[[], Awaitable[list[str]]]) -> list[str]:
    """Return what is proposed with names, which a busy machine may take too long to fetch.

    Then nothing is proposed, and whoever types presses the key again.
    """
    found: list[str] = []

    async def is_something() -> bool:
        found[:] = await ask()
        return bool(found)

    await eventually(is_something)
    return found


async def test_commands_options_and_their_values_are_proposed(plane: ControlPlane) -> None:
    """Without a call of the API."""
    assert await proposed({}, "control-plane connections sh") == ["show"]
    assert "--watch" in await proposed({}, "control-plane connections list --w")
    assert await proposed({}, "control-plane connections list --status app") == ["approved"]
    assert await proposed({}, "control-plane completion z") == ["zsh"]
    assert await proposed({}, "control-plane connections show ghcr") == []
    away = plane.shell_settings("eve") | {"CONTROL_PLANE_URL": "http://127.0.0.1:9"}
    assert await proposed(away, "control-plane connections show ghcr") == []


async def test_connections_and_revocations_are_proposed_by_name_or_id(
    own_plane: ControlPlane,
) -> None:
    """As a person would type them; revoked connections by their ids alone."""
    alice, bob = own_plane.client("alice"), own_plane.client("bob")
    one = await alice.connect("one.example", repository_prefix="team")
    other = await alice.connect("other.example")
    await bob.revoke(other["id"])
    revocation = await bob.revoke_device(device="spiffe://example.com/fleet/a/device/b")
    settings = own_plane.shell_settings("bob")
    for words, name in (
        ("connections show o", "one.example/team"),
        ("connections show ", "one.example/team"),
        *((f"connections show {made['id'][:8]}", made["id"]) for made in (one, other)),
        ("devices lift s", revocation["device"]),
    ):
        line = f"control-plane {words}"
        assert await found_in_time(partial(proposed, settings, line)) == [name]


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
async def test_each_shell_has_its_script(plane: ControlPlane, name: str) -> None:
    """It asks this program, by the variable that the program reads."""
    script = await shell(plane, "completion", name, operator=None)
    assert f"_CONTROL_PLANE_COMPLETE={name}_complete" in script.output
    assert "control-plane" in script.output


async def in_bash(settings: dict[str, str], line: str) -> list[str]:
    """Return what a real bash proposes at the end of a line, for the word behind its last colon."""
    typed = (
        "source <(control-plane completion bash); COMP_LINE=$1; COMP_POINT=${#COMP_LINE};"
        " _control_plane_completion control-plane;"
        ' printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = await asyncio.to_thread(
        subprocess.run,
        ["bash", "--norc", "-c", typed, "bash", line],
        env=of_a_child(settings | {"PATH": f"{PROGRAMS}:/usr/bin:/bin"}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


# Zsh's own completion needs a terminal: what the script hands to it is printed in its place.
_IN_ZSH = """
compdef() { }
_describe() { print -rl -- "${(@P)3}" }
compadd() { print -rl -- "${(@P)@[-1]}" }
source <(control-plane completion zsh)
words=("${(@s: :)1}") CURRENT=${#words}
_control_plane_completion
"""
_IN_FISH = "control-plane completion fish | source; complete -C $argv[1]"


async def in_shell(command: list[str], settings: dict[str, str], line: str) -> list[str]:
    """Return the lines that another shell proposes with: a word, and what is said of it."""
    done = await asyncio.to_thread(
        subprocess.run,
        [*command, line],
        env=of_a_child(settings | {"PATH": f"{PROGRAMS}:/usr/bin:/bin"}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


async def test_real_zsh_and_fish_take_their_scripts(plane: ControlPlane, host: str) -> None:
    """Commands, and a host with a port: in zsh a colon ends the word, unless it is escaped."""
    await plane.client("alice").connect(f"{host}:5000")
    settings = plane.shell_settings("eve")
    zsh, fish = ["zsh", "-f", "-c", _IN_ZSH, "zsh"], ["fish", "--no-config", "-c", _IN_FISH]
    words = "control-plane connections re"
    place = f"control-plane connections show {host}:50"
    found = await asyncio.gather(
        in_shell(zsh, {}, words),
        found_in_time(partial(in_shell, zsh, settings, place)),
        in_shell(fish, {}, words),
        found_in_time(partial(in_shell, fish, settings, place)),
    )
    assert [each.partition(":")[0] for each in found[0]] == ["review", "revoke"]
    assert found[1] == [rf"{host}\:5000:pending"]
    assert [each.partition("\t")[0] for each in found[2]] == ["review", "revoke"]
    assert found[3] == [f"{host}:5000\tpending"]


async def test_a_real_bash_takes_the_script(plane: ControlPlane, host: str) -> None:
    """As the help says. Bash breaks words at colons: what stands before one is not typed again."""
    await plane.client("alice").connect(f"{host}:5000")
    settings = plane.shell_settings("eve")
    words, ports = await asyncio.gather(
        in_bash({}, "control-plane connections re"),
        found_in_time(partial(in_bash, settings, f"control-plane connections show {host}:50")),
    )
    assert sorted(words) == ["review", "revoke"]
    assert ports == ["5000"]
