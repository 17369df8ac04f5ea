"""The commands: results on standard output, words on standard error, and honest exit codes."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from deploy.dev.device_ca import CertificateAuthority
from deploy.dev.product import CommandFailedError
from shared.keys import (
    load_sealing_private_keys,
    load_sealing_public_key,
    load_statement_private_key,
    load_statement_public_keys,
)
from tests.support.commands import run_command
from tests.support.control_plane import (
    ControlPlane,
    Json,
    approved_connection,
    make_keys,
    run_control_plane,
    run_process,
)
from tests.support.shell import shell
from tests.support.simulators.google import ServiceAccount
from tests.support.terminal import at_terminal

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


def test_keys_that_cannot_be_written_are_told_in_words(tmp_path: Path) -> None:
    """Which folder, and why; no traceback."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CommandFailedError, match="cannot be made: Not a directory") as refused:
        run_control_plane("keys", "--out", str(tmp_path / "file" / "keys"), environment={})
    assert "Traceback" not in str(refused.value)


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


async def test_a_ca_file_with_comments_of_any_encoding_is_connected(
    own_plane: ControlPlane, server_ca: CertificateAuthority
) -> None:
    """Its certificates alone are sent; what has none is named, and nothing is connected."""
    path = own_plane.folder / "registry-ca.pem"
    add = ("connections", "add", "registry.example", "--no-check", "--json", "--anonymous")
    for content in (b"canary", server_ca.pem + b"-----BEGIN PRIVATE KEY-----\nx"):
        path.write_bytes(content)
        with pytest.raises(
            CommandFailedError, match=r"--ca-certificate: (expected|this holds a private key)"
        ) as refused:
            own_plane.run(*add, "--ca-certificate", str(path), operator="alice")
        assert "canary" not in str(refused.value).partition("--ca-certificate: ")[2]
    path.write_bytes("# Größe\n".encode("latin-1") * 5000 + server_ca.pem)
    view = orjson.loads(own_plane.run(*add, "--ca-certificate", str(path), operator="alice"))
    assert view["ca_certificate"] == server_ca.pem.decode()


async def test_an_edit_from_a_shell(own_plane: ControlPlane) -> None:
    """What is given changes, a list in place of the one before; the secret comes on stdin."""
    view = await approved_connection(
        own_plane, "registry.example", username="robot", token=CANARY, fleets=["a"]
    )

    def edit(*arguments: str, given: str = "") -> Json:
        command = ("connections", "edit", view["id"], "--no-check", "--json", *arguments)
        return dict(orjson.loads(own_plane.run(*command, operator="alice", given=given)))

    draft = edit("--repository", "team/*", "--all-fleets", "--description", "hall")["draft"]
    assert (draft["repositories"], draft["fleets"]) == (["team/*"], [])
    with pytest.raises(CommandFailedError, match="/allowed_networks") as refused:
        edit("--allow-network", "10.0.0.0/8")
    assert "exit 1" in str(refused.value)
    draft = edit("--allow-network", "10.0.0.0/8", "--token-stdin", given=f"{CANARY}\n")["draft"]
    assert draft["allowed_networks"] == ["10.0.0.0/8"]
    assert draft["repositories"] == ["team/*"]
    assert edit("--anonymous")["draft"]["anonymous"] is True
    assert edit("--description", "")["description"] == ""
    with pytest.raises(CommandFailedError, match="exit 2"):
        edit()


async def test_a_rotation_from_a_shell(own_plane: ControlPlane) -> None:
    """By a connector, thrown away, and by an approver who lets it serve at once."""
    view = await approved_connection(own_plane, "registry.example", username="robot", token="old")

    def run(command: str, *arguments: str, operator: str, given: str = "") -> Json:
        output = own_plane.run(
            "connections", command, view["id"], "--json", *arguments, operator=operator, given=given
        )
        return dict(orjson.loads(output))

    rotate = ("--token-stdin", "--no-check")
    drafted = run("rotate", *rotate, operator="alice", given=f"{CANARY}\n")
    assert (drafted["secret_version"], drafted["draft"]["secret_version"]) == (1, 2)
    assert run("discard", operator="alice")["draft"] is None
    with pytest.raises(CommandFailedError, match="exit 1"):
        run("rotate", *rotate, "--approve", operator="alice", given=CANARY)
    approved = run("rotate", *rotate, "--approve", operator="bob", given=CANARY)
    assert (approved["draft"], approved["approved_by"]) == (None, "bob")
    assert approved["generation"] > view["generation"]


async def test_a_key_of_google_from_a_shell(own_plane: ControlPlane, tmp_path: Path) -> None:
    """From a file or standard input; a provider need not be named with it."""
    account = ServiceAccount.create()
    key, file = orjson.dumps(account.key_json()).decode(), tmp_path / "key.json"
    file.write_text(key)
    add = ("connections", "add", "gcr.io", "--no-check", "--json")
    view = orjson.loads(
        own_plane.run(*add, "--service-account-key-file", str(file), operator="alice")
    )
    assert view["google"]["client_email"] == account.client_email
    by_stdin = ("--provider", "google_service_account", "--prefix", "team")
    other = orjson.loads(own_plane.run(*add, *by_stdin, operator="alice", given=key))
    assert other["provider"] == "google_service_account"
    rotate = ("connections", "rotate", view["id"], "--no-check", "--json")
    rotated = orjson.loads(own_plane.run(*rotate, operator="alice", given=key))
    assert rotated["secret_version"] == 2
    with pytest.raises(CommandFailedError, match="not a JSON object") as refused:
        own_plane.run(*add, *by_stdin, operator="alice", given=f"[{CANARY}]")
    assert CANARY not in str(refused.value)
    typed = at_terminal(own_plane.shell_settings("alice"), *add, *by_stdin)
    assert (typed.status, "--service-account-key-file" in typed.screen) == (2, True)


async def test_a_role_and_its_policies_from_a_shell(own_plane: ControlPlane) -> None:
    """Connected, and what is to be pasted alone on standard output."""
    host = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
    role = ("--role-arn", "arn:aws:iam::123456789012:role/pull")
    add = ("connections", "add", host, *role, "--json")
    view = orjson.loads(own_plane.run(*add, "--external-id", "id-1", operator="alice"))
    assert (view["provider"], view["ecr"]["external_id"]) == ("aws_ecr", "id-1")
    grant = ("connections", "grant", view["id"])
    trust = orjson.loads(own_plane.run(*grant, "--policy", "trust", operator="alice"))
    whole = orjson.loads(own_plane.run(*grant, "--json", operator="alice"))
    assert trust == whole["trust_policy"]
    for_people = own_plane.run(*grant, operator="alice")
    assert orjson.dumps(trust, option=orjson.OPT_INDENT_2).decode() in for_people
    edit = ("connections", "edit", view["id"], "--no-external-id", "--json")
    assert orjson.loads(own_plane.run(*edit, operator="alice"))["ecr"]["external_id"] is None
    caching = ("connections", "edit", view["id"], "--pull-through-cache")
    own_plane.run(*caching, operator="alice")
    shown = own_plane.run("connections", "show", view["id"], operator="alice")
    assert "pull_through_cache" in shown
    assert "ecr:CreateRepository" in own_plane.run(*grant, operator="alice")
    edit = ("connections", "edit", view["id"], "--no-pull-through-cache", "--json")
    assert "pull_through_cache" not in orjson.loads(own_plane.run(*edit, operator="alice"))["ecr"]
    cached = own_plane.run(*add, "--prefix", "hub", "--pull-through-cache", operator="alice")
    assert orjson.loads(cached)["ecr"]["pull_through_cache"] is True
    with pytest.raises(CommandFailedError, match="exit 2"):
        own_plane.run(*add, "--external-id", "x1", "--no-external-id", operator="alice")


async def test_a_device_revocation_from_a_shell(own_plane: ControlPlane) -> None:
    """By id and by serial, listed, lifted."""

    def run(*arguments: str) -> Any:
        return orjson.loads(own_plane.run("devices", *arguments, "--json", operator="bob"))

    device = "spiffe://example.com/fleet/line-a/device/press-7"
    revoked = run("revoke", device, "--reason", "stolen")
    assert (revoked["device"], revoked["reason"]) == (device, "stolen")
    by_serial = run("revoke", "--serial", "0A:BC", "--issuer", "cn=Device CA")
    assert (by_serial["serial"], by_serial["issuer"]) == ("abc", "CN=Device CA")
    assert run("list") == [revoked, by_serial]
    assert run("list", device) == [revoked]
    assert run("lift", revoked["id"]) == revoked
    table = own_plane.run("devices", "list", operator="bob")
    assert "abc" in table
    assert "press" not in table
    for arguments, status in (
        (("lift", revoked["id"]), 1),
        (("revoke",), 2),
        (("revoke", device, "--serial", "abc"), 2),
    ):
        with pytest.raises(CommandFailedError, match=f"exit {status}"):
            own_plane.run("devices", *arguments, operator="bob")


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
    """What was seen is the result; that nothing was seen is no success."""
    answer = await shell(own_plane, "connections", "check", "no-such-name.invalid", "--json")
    assert (answer.status, answer.result["problem"]) == (3, "not_resolved")


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


@pytest.mark.parametrize("act", [("add", "carol", "--role", "viewer"), ("rotate", "alice")])
def test_a_token_ends_after_a_year_unless_something_else_is_said(
    own_plane: ControlPlane, act: tuple[str, ...]
) -> None:
    """One without an end has to be asked for."""
    name = act[1]

    def end() -> str | None:
        listed = orjson.loads(own_plane.run("operators", "list", "--json"))
        (at,) = [each["expires_at"] for each in listed if each["name"] == name]
        return None if at is None else str(at)

    own_plane.run("operators", *act)
    by_default = datetime.fromisoformat(str(end())) - datetime.now(UTC)
    assert timedelta(days=364) < by_default <= timedelta(days=365)
    own_plane.run("operators", "rotate", name, "--expires", "1d")
    assert datetime.fromisoformat(str(end())) - datetime.now(UTC) <= timedelta(days=1)
    ran = run_command(own_plane.shell_settings(), "operators", "rotate", name, "--no-expiry")
    assert (ran.status, end()) == (0, None)
    assert "without an end" in ran.words
    both = ("operators", "rotate", name, "--no-expiry", "--expires", "1d")
    refused = run_command(own_plane.shell_settings(), *both)
    assert refused.status == 2
    assert "--expires and --no-expiry: give one of them" in refused.words


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
        (("audit", "verify"),
         {"CONTROL_PLANE_DATABASE_URL", "CONTROL_PLANE_STATEMENT_PUBLIC_KEY_FILE"}),
        (("migrate",), {"CONTROL_PLANE_MIGRATION_DATABASE_URL"}),
        (("connections", "list"), {"CONTROL_PLANE_TOKEN"}),
    ],
)  # fmt: skip
def test_missing_settings_exit_2(arguments: tuple[str, ...], variables: set[str]) -> None:
    """Each command says what it needs, and needs no more."""
    answer = run_process({}, *arguments)
    assert (answer.status, answer.output) == (2, "")
    assert {line.partition(":")[0] for line in answer.words.splitlines()} == variables
    assert "Traceback" not in answer.words


async def test_an_operator_token_in_a_file(own_plane: ControlPlane, tmp_path: Path) -> None:
    """Every setting can be a file."""
    file = tmp_path / "token"
    file.write_text(own_plane.tokens["eve"] + "\n")
    environment = {
        "CONTROL_PLANE_URL": own_plane.url,
        "CONTROL_PLANE_TOKEN_FILE": str(file),
    }
    assert run_control_plane("connections", "list", "--json", environment=environment) == "[]\n"
