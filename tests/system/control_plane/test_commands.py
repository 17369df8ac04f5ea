"""The commands: results on standard output, words on standard error, and honest exit codes."""

import subprocess
from pathlib import Path

import orjson
import pytest

from deploy.dev.product import PROGRAMS, CommandFailedError, run_control_plane, whole_environment
from shared.keys import (
    load_sealing_private_keys,
    load_sealing_public_key,
    load_statement_private_key,
    load_statement_public_keys,
)
from tests.support.control_plane import ControlPlane, make_keys

CANARY = "canary-token-on-standard-input"


def test_keys_are_made_once(tmp_path: Path) -> None:
    """Private ones for their owner's eyes; nothing is ever overwritten."""
    keys = make_keys(tmp_path / "keys")
    load_sealing_public_key(keys.sealing_public.read_bytes())
    load_statement_private_key(keys.statement_private.read_bytes())
    assert load_sealing_private_keys(keys.sealing_private.read_bytes())
    assert load_statement_public_keys(keys.statement_public.read_bytes())
    for private in (keys.sealing_private, keys.statement_private):
        assert private.stat().st_mode & 0o777 == 0o600
    before = {path.name: path.read_bytes() for path in keys.folder.iterdir()}
    keys.sealing_public.unlink()
    with pytest.raises(CommandFailedError, match="exit 1"):
        make_keys(keys.folder)
    del before["sealing.public.pem"]
    assert {path.name: path.read_bytes() for path in keys.folder.iterdir()} == before


async def test_a_connection_from_a_shell(own_plane: ControlPlane) -> None:
    """Connected, listed, approved, revoked, each with --json; the token comes on standard input."""
    view = orjson.loads(
        own_plane.run(
            "connections", "add", "https://registry.example/", "--username", "robot",
            "--token-stdin", "--no-check", "--repository", "team/*", "--fleet", "a", "--fleet",
            "b", "--prefix", "team", "--description", "hall", "--json",
            operator="alice", given=f"{CANARY}\n",
        )
    )  # fmt: skip
    assert (view["host"], view["username"], view["status"]) == (
        "registry.example",
        "robot",
        "pending",
    )
    assert (view["repositories"], view["fleets"]) == (["team/*"], ["a", "b"])
    assert (view["repository_prefix"], view["description"]) == ("team", "hall")
    listed = orjson.loads(own_plane.run("connections", "list", "--json", operator="eve"))
    assert [each["id"] for each in listed] == [view["id"]]
    arguments = ("approve", view["id"], "--fingerprint", view["fingerprint"], "--json")
    approved = orjson.loads(own_plane.run("connections", *arguments, operator="bob"))
    assert approved["status"] == "approved"
    revoked = orjson.loads(
        own_plane.run("connections", "revoke", view["id"], "--json", operator="bob")
    )
    assert revoked["status"] == "revoked"
    with pytest.raises(CommandFailedError, match="exit 1"):
        own_plane.run("connections", "revoke", view["id"], operator="bob")


async def test_tables_for_people_cut_nothing(own_plane: ControlPlane) -> None:
    """Ids and fingerprints are copied out of them."""
    view = await own_plane.client("alice").connect("registry.example")
    table = own_plane.run("connections", "show", view["id"], operator="eve")
    flat = "".join(character for character in table if character.isascii()).replace(" ", "")
    assert view["id"] in flat
    assert "…" not in table + own_plane.run("connections", "list", operator="eve")


async def test_a_refusal_says_every_wrong_field(own_plane: ControlPlane) -> None:
    """And never the token."""
    with pytest.raises(CommandFailedError) as refused:
        own_plane.run(
            "connections", "add", "registry.example/team", "--token-stdin", "--no-check",
            operator="alice", given=CANARY,
        )  # fmt: skip
    assert "/host" in str(refused.value)
    assert "/username" in str(refused.value)
    assert CANARY not in str(refused.value)


async def test_a_check_from_a_shell(own_plane: ControlPlane) -> None:
    """What was seen is the result."""
    answer = own_plane.run(
        "connections", "check", "no-such-name.invalid", "--json", operator="alice"
    )
    assert orjson.loads(answer)["problem"] == "not_resolved"


async def test_operators_from_a_shell(own_plane: ControlPlane) -> None:
    """The token alone on standard output; what cannot be is refused."""
    token = own_plane.run("operators", "add", "carol@example.com", "--role", "viewer")
    assert token.startswith("rfo_carol@example.com.")
    assert len(token.splitlines()) == 1
    answer = await own_plane.client(None, token=token.strip()).call("GET", "/v1/connections")
    assert answer.status == 200
    for arguments in (
        ("add", "carol@example.com", "--role", "viewer"),
        ("rotate", "nobody"),
        ("remove", "nobody"),
    ):
        with pytest.raises(CommandFailedError, match="exit 1"):
            own_plane.run("operators", *arguments)
    listed = orjson.loads(own_plane.run("operators", "list", "--json"))
    assert {each["name"]: each["role"] for each in listed}["carol@example.com"] == "viewer"
    assert token.strip() not in own_plane.run("operators", "list")


@pytest.mark.parametrize(
    "arguments",
    [
        ("operators", "add", "Not A Name", "--role", "viewer"),
        ("operators", "add", "carol", "--role", "king"),
        ("operators", "add", "carol", "--role", "viewer", "--expires", "soon"),
        ("operators", "add", "carol", "--role", "viewer", "--expires", "99999d"),
        ("connections", "approve", "x"),
        ("nothing",),
    ],
)
def test_a_wrong_call_exits_2(arguments: tuple[str, ...]) -> None:
    """The call is wrong, not the world."""
    with pytest.raises(CommandFailedError, match="exit 2"):
        run_control_plane(*arguments, environment={})


@pytest.mark.parametrize(
    "arguments, variables",
    [
        (("operators", "list"),
         {"CONTROL_PLANE_DATABASE_URL", "CONTROL_PLANE_STATEMENT_PRIVATE_KEY_FILE"}),
        (("audit", "verify"), {"CONTROL_PLANE_DATABASE_URL"}),
        (("migrate",), {"CONTROL_PLANE_MIGRATION_DATABASE_URL"}),
        (("connections", "list"), {"CONTROL_PLANE_TOKEN"}),
    ],
)  # fmt: skip
def test_missing_settings_exit_2(arguments: tuple[str, ...], variables: set[str]) -> None:
    """Each command says what it needs, and needs no more."""
    answer = subprocess.run(
        [PROGRAMS / "control-plane", *arguments],
        env=whole_environment({}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (answer.returncode, answer.stdout) == (2, "")
    assert {line.partition(":")[0] for line in answer.stderr.splitlines()} == variables
    assert "Traceback" not in answer.stderr


async def test_an_operator_token_in_a_file(own_plane: ControlPlane, tmp_path: Path) -> None:
    """Every setting can be a file."""
    file = tmp_path / "token"
    file.write_text(own_plane.tokens["eve"] + "\n")
    environment = {
        "CONTROL_PLANE_URL": own_plane.url,
        "CONTROL_PLANE_TOKEN_FILE": str(file),
    }
    assert run_control_plane("connections", "list", "--json", environment=environment) == "[]\n"
