"""What is mistyped, left out or of no use is said when it is made, not by a device weeks later."""

import uuid
from pathlib import Path

import orjson
import pytest

from deploy.dev.registry import Registry
from tests.conftest import ROBOT, ROBOT_PASSWORD
from tests.support.control_plane import ControlPlane
from tests.support.shell import shell
from tests.support.simulators.google import ServiceAccount
from tests.support.terminal import at_terminal

ANONYMOUS = "--anonymous"
LOOPBACK = "FACADE_ALLOW_LOOPBACK=true"


@pytest.mark.parametrize(
    "typed, words",
    [
        ("ghcr.oi", ["does not resolve", "Did you mean ghcr.io?"]),
        ("registry.gitlab.co.invalid", ["does not resolve", "Did you mean registry.gitlab.com?"]),
        ("nohost.invalid", ["does not resolve", "is it spelled right?"]),
        ("127.0.0.1:1", ["nothing answers there"]),
        ("10.255.255.1", ["CONTROL_PLANE_CHECK_NETWORKS"]),
        ("777777777777.dkr.ecr.eu-central-1.amazonaws.com", ["`facade check`"]),
    ],
)
async def test_a_check_that_could_not_tell_is_no_success(
    plane: ControlPlane, typed: str, words: list[str]
) -> None:
    """Exit status 3, and why in words; a connection is made all the same, with a loud warning."""
    role = ("--role-arn", "arn:aws:iam::777777777777:role/pull") if "ecr" in typed else ()
    checked = await shell(plane, "connections", "check", typed, *role)
    assert (checked.status, "could not tell" in checked.words) == (3, True), checked
    prefix = ("--prefix", uuid.uuid4().hex)
    added = await shell(plane, "connections", "add", typed, *(role or (ANONYMOUS,)), *prefix)
    assert (added.status, "WARNING" in added.words) == (0, True), added
    assert "waits for an approver" in added.output
    for word in words:
        assert word in checked.words
        assert word in added.words
    as_json = await shell(plane, "connections", "check", typed, *role, "--json")
    assert (as_json.status, as_json.result["outcome"]) == (3, "skipped")


async def test_a_check_that_passes_or_fails_says_so(
    plane: ControlPlane, htpasswd_registry: Registry
) -> None:
    """0 and 1, as before; --no-check is no warning."""
    plain = (htpasswd_registry.host, "--plain-http", "--username", ROBOT, "--token-stdin")
    wrong = await shell(plane, "connections", "check", *plain, given="wrong")
    assert (wrong.status, "did not accept" in wrong.words) == (1, True)
    right = await shell(plane, "connections", "check", *plain, given=ROBOT_PASSWORD)
    assert (right.status, right.words) == (0, "")
    unasked = await shell(
        plane, "connections", "add", f"{uuid.uuid4().hex}.invalid", ANONYMOUS, "--no-check"
    )
    assert (unasked.status, "WARNING" in unasked.words) == (0, False)


async def test_the_api_says_what_was_nearly_typed(plane: ControlPlane) -> None:
    """For whoever does not use the commands."""
    answer = await plane.client("alice").call(
        "POST", "/v1/connection-checks", {"host": "quay.oi", "provider": "static"}
    )
    assert (answer.json["problem"], answer.json["outcome"]) == ("not_resolved", "skipped")
    assert answer.json["detail"].endswith("did you mean quay.io?")


@pytest.mark.parametrize(
    "host, words",
    [
        ("{}.example", []),
        ("777777777777.dkr.ecr.eu-central-1.amazonaws.com", ["aws_ecr", "--role-arn"]),
        ("europe-west1-docker.pkg.dev", ["google_service_account", "--service-account-key-file"]),
        ("http://foo_bar:99999", ["plain_http", "1 to 65535", "'-'"]),
    ],
)
async def test_nobody_is_anonymous_who_did_not_say_so(
    plane: ControlPlane, host: str, words: list[str]
) -> None:
    """Without a terminal it is a wrong call; the provider of the host is named, nothing is made."""
    host = host.format(uuid.uuid4().hex)
    before = await plane.client("eve").list()
    for provider in ((), ("--provider", "static")):
        refused = await shell(plane, "connections", "add", host, "--no-check", *provider)
        assert refused.status == 2
        for word in ("--username", ANONYMOUS, *words):
            assert word in refused.words
    assert await plane.client("eve").list() == before


async def test_at_a_terminal_the_login_is_asked_for(
    plane: ControlPlane, host: str, tmp_path: Path
) -> None:
    """A user name and its token, a role, a key's file; nothing typed is anonymous."""
    settings = plane.shell_settings("alice")
    add = ("connections", "add", "--no-check", "--json")
    key = tmp_path / "key.json"
    key.write_bytes(orjson.dumps(ServiceAccount.create().key_json()))
    ecr, prefix = "797979797979.dkr.ecr.eu-central-1.amazonaws.com", uuid.uuid4().hex
    for arguments, answers, expected in (
        ((host,), {"User name": "robot", "Token": "token-of-robot"}, {"username": "robot"}),
        ((ecr, "--prefix", prefix), {"ARN of the role": "", "User name": ""},
         {"provider": "static", "anonymous": True}),
        (("gcr.io", "--prefix", prefix), {"service account's key": str(key)},
         {"provider": "google_service_account"}),
    ):  # fmt: skip
        made = at_terminal(settings, *add, *arguments, answers=answers)
        assert made.status == 0, made.screen
        assert "token-of-robot" not in made.screen
        view = orjson.loads(made.screen[made.screen.index('{"id"') :].splitlines()[0])
        assert expected.items() <= view.items()


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"allowed_networks": ["127.0.0.0/8"]}, ["127.0.0.0/8", LOOPBACK]),
        ({"allowed_networks": ["::1/128", "10.0.0.0/8"]}, ["::1/128", LOOPBACK]),
        ({"allowed_networks": ["0.0.0.0/0"]}, ["0.0.0.0/0", LOOPBACK]),
        ({"allowed_networks": ["169.254.0.0/16"]}, ["link-local", "no facade"]),
        ({"allowed_networks": ["169.254.169.254/32"]}, ["metadata", "no facade"]),
        ({"host": "127.0.0.1:5999"}, ["127.0.0.1", LOOPBACK]),
        ({"host": "localhost:5999"}, ["localhost", LOOPBACK]),
        ({"host": "10.1.2.3:5999"}, ["private", "allowed network"]),
        ({"host": "169.254.169.254"}, ["metadata"]),
        ({"host": "10.1.2.4", "allowed_networks": ["10.0.0.0/8"]}, []),
        ({"allowed_networks": ["10.0.0.0/8", "fd00::/8"]}, []),
    ],
)
async def test_what_a_facade_refuses_is_said_when_it_is_made(
    plane: ControlPlane, host: str, fields: dict[str, object], words: list[str]
) -> None:
    """In the view, for whoever approves, too."""
    alice = plane.client("alice")
    body = {"host": host, "provider": "static", "repository_prefix": uuid.uuid4().hex} | fields
    view = (await alice.call("POST", "/v1/connections?check=false", body)).json
    assert bool(view["notes"]) == bool(words)
    assert [word for word in words if word not in " ".join(view["notes"])] == []
    shown = await shell(plane, "connections", "show", view["id"])
    assert [word for word in words if word not in shown.output] == []


async def test_a_refused_network_is_warned_of_in_a_shell(plane: ControlPlane, host: str) -> None:
    """Where it is typed: of a new connection and of an edit."""
    network = ("--allow-network", "127.0.0.0/8", "--no-check")
    added = await shell(plane, "connections", "add", host, ANONYMOUS, *network)
    assert "WARNING: 127.0.0.0/8" in added.words
    assert LOOPBACK in added.words
    await shell(plane, "connections", "edit", host, "--no-allowed-networks")
    edited = await shell(plane, "connections", "edit", host, *network)
    assert LOOPBACK in edited.words
