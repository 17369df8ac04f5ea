"""A connection, a revocation: named by what a person has at hand, and never guessed."""

import re
import uuid
from itertools import combinations

import pytest

from tests.support.control_plane import ControlPlane, Json, approved_connection
from tests.support.shell import shell

DEVICE = "spiffe://example.com/fleet/line-a/device/press-7"


@pytest.mark.parametrize(
    "typed",
    ["{host}", "https://{host}", "https://{HOST}/v2/", "{HOST}", "{host}/", "{host}:443", "{id}",
     "{ID}", "{id:.12}", "{ID:.8}"],
)  # fmt: skip
async def test_a_connection_has_many_names(plane: ControlPlane, host: str, typed: str) -> None:
    """Its host as people have it, its id, and the beginning of that."""
    view = await plane.client("alice").connect(host)
    name = typed.format(host=host, HOST=host.upper(), id=view["id"], ID=view["id"].upper())
    shown = await shell(plane, "connections", "show", name, "--json")
    assert shown.result["id"] == view["id"], shown


async def test_every_command_takes_a_host(plane: ControlPlane, host: str) -> None:
    """From the draft to the revocation, and an approval still names what was seen."""
    view = await approved_connection(plane, host, username="robot", token="old")
    edited = await shell(plane, "connections", "edit", host, "--fleet", "a", "--json")
    assert edited.result["draft"]["fleets"] == ["a"]
    assert (await shell(plane, "connections", "discard", host, "--json")).result["draft"] is None
    rotated = await shell(
        plane, "connections", "rotate", host, "--token-stdin", "--no-check", "--json", given="new"
    )
    without = await shell(plane, "connections", "approve", host, operator="bob")
    assert (without.status, "--fingerprint" in without.words) == (2, True)
    seen = rotated.result["draft"]["fingerprint"]
    approve = ("connections", "approve", host, "--fingerprint", seen, "--json")
    assert (await shell(plane, *approve, operator="bob")).result["fingerprint"] == seen
    grant = await shell(plane, "connections", "grant", host)
    assert (grant.status, "nothing to grant" in grant.words) == (1, True)
    revoked = await shell(plane, "connections", "revoke", host, "--json", operator="bob")
    assert (revoked.result["id"], revoked.result["status"]) == (view["id"], "revoked")


async def test_a_prefix_is_part_of_the_name(plane: ControlPlane, host: str) -> None:
    """Of several of one host the exact one is meant; what fits several is refused with all."""
    alice = plane.client("alice")
    team = await alice.connect(host, repository_prefix="team/app")
    assert (await found(plane, host))["id"] == team["id"]  # there is no other of this host
    other = await alice.connect(host, repository_prefix="other")
    several = await shell(plane, "connections", "revoke", host, operator="bob")
    assert several.status == 2
    assert [view["id"] in several.words for view in (team, other)] == [True, True]
    assert f"{host}/team/app" in several.words
    assert (await found(plane, f"https://{host}/team/app/"))["id"] == team["id"]
    assert (await found(plane, f"{host}/other"))["id"] == other["id"]
    whole = await alice.connect(host)
    assert (await found(plane, host))["id"] == whole["id"]
    nothing = await shell(plane, "connections", "show", f"{host}/team")
    assert (nothing.status, f"{host}/team/app" in nothing.words) == (1, True)


async def test_the_living_connection_of_a_host_is_meant(plane: ControlPlane, host: str) -> None:
    """Not those before it; a command that reads shows the last one of a host without any."""
    first = await approved_connection(plane, host)
    await plane.client("bob").revoke(first["id"])
    second = await approved_connection(plane, host)
    assert (await found(plane, host))["id"] == second["id"]
    await plane.client("bob").revoke(second["id"])
    assert (await found(plane, host))["id"] == second["id"]
    for command in ("revoke", "discard"):
        refused = await shell(plane, "connections", command, host, operator="bob")
        assert refused.status == 1
        assert second["id"] in refused.words
        assert "revoked" in refused.words


async def test_an_ambiguous_beginning_is_never_guessed(own_plane: ControlPlane) -> None:
    """Seventeen ids cannot all begin otherwise; nothing is revoked, and the candidates are shown.

    A list's ids are unambiguous.
    """
    alice = own_plane.client("alice")
    views = [await alice.connect(f"registry-{number}.example") for number in range(17)]
    one, other = next(
        pair for pair in combinations([view["id"] for view in views], 2) if pair[0][0] == pair[1][0]
    )
    refused = await shell(own_plane, "connections", "revoke", one[0], operator="bob")
    assert refused.status == 2
    assert one in refused.words
    assert other in refused.words
    assert {view["status"] for view in await alice.list()} == {"pending"}
    listed = await shell(own_plane, "connections", "list")
    for line, view in zip(listed.output.splitlines()[1:], views, strict=True):
        short = line.split()[0]
        assert 8 <= len(short) < len(view["id"])
        assert (await found(own_plane, short))["id"] == view["id"]


async def test_a_host_that_looks_like_an_id_is_not_guessed(own_plane: ControlPlane) -> None:
    """`cafe` may be a host and the beginning of an id."""
    alice = own_plane.client("alice")
    view = await alice.connect("registry-0.example")
    while not (letter := re.search("[a-f]", view["id"][:8])):
        view = await alice.connect(f"registry-{view['id']}.example")
    beginning = view["id"][: letter.end()]
    await alice.connect(beginning)
    refused = await shell(own_plane, "connections", "show", beginning)
    assert (refused.status, view["id"] in refused.words) == (2, True)


@pytest.mark.parametrize("typed", ["", "ghcr.io/Team", "ghcr.io/team:latest", "①.example", "a b"])
async def test_what_is_no_name_is_a_wrong_call(plane: ControlPlane, typed: str) -> None:
    """And says what a name is."""
    refused = await shell(plane, "connections", "show", typed)
    assert (refused.status, "HOST[/PREFIX]" in refused.words) == (2, True)


@pytest.mark.parametrize("typed", ["no.such.example", "0123456789abcdef", str(uuid.UUID(int=7))])
async def test_what_is_not_there_is_a_failure(plane: ControlPlane, typed: str) -> None:
    """The call is right, and there is nothing of that name."""
    refused = await shell(plane, "connections", "show", typed)
    assert (refused.status, "there is no connection" in refused.words) == (1, True)


async def test_docker_hub_has_one_name(own_plane: ControlPlane) -> None:
    """Whatever people call it."""
    view = await own_plane.client("alice").connect("docker.io")
    for name in (
        "docker.io",
        "https://index.docker.io/v1/",
        "hub.docker.com",
        "registry-1.docker.io",
    ):
        assert (await found(own_plane, name))["id"] == view["id"]


async def test_a_revocation_is_named_by_its_device(plane: ControlPlane) -> None:
    """By the id, its beginning, the device, or the serial as it is listed."""
    bob = plane.client("bob")
    device, serial = f"{DEVICE}{uuid.uuid4().hex}", f"{uuid.uuid4().int:x}"
    for name, value, listed_as in (
        ("device", device, device),
        ("serial", serial, f"serial:{serial}"),
    ):
        for length in (36, 13, 0):
            view = (await bob.call("POST", "/v1/device-revocations", {name: value})).json
            typed = view["id"][:length] or listed_as
            lifted = await shell(plane, "devices", "lift", typed, "--json", operator="bob")
            assert lifted.result == view
    again = await shell(plane, "devices", "lift", device, operator="bob")
    assert (again.status, "in force" in again.words) == (1, True)
    no_name = await shell(plane, "devices", "lift", "no name", operator="bob")
    assert (no_name.status, "serial:HEX" in no_name.words) == (2, True)


async def test_a_serial_finds_its_revocations_whichever_issuer_they_name(
    plane: ControlPlane,
) -> None:
    """One is lifted by it, several are listed; an issuer is pasted as openssl prints it."""
    bob, serial = plane.client("bob"), f"{uuid.uuid4().int:x}"
    pasted = await shell(
        plane, "devices", "revoke", "--serial", f"serial={serial.upper()}",
        "--issuer", "issuer=CN=A", "--json", operator="bob",
    )  # fmt: skip
    assert pasted.result["issuer"] == "CN=A"
    typed = f"serial:{serial.upper()}"
    lifted = await shell(plane, "devices", "lift", typed, "--json", operator="bob")
    assert lifted.result == pasted.result
    both = [await bob.revoke_device(serial=serial, issuer=f"CN={name}") for name in "AB"]
    several = await shell(plane, "devices", "lift", typed, operator="bob")
    assert several.status == 2
    listed = await shell(plane, "devices", "list", "--serial", serial, operator="bob")
    for view in both:
        assert view["id"] in several.words
        assert view["issuer"] in several.words
        assert view["issuer"] in listed.output  # two of one name are told apart
    exact = ("--serial", serial, "--issuer", "CN=B", "--json")
    assert (await shell(plane, "devices", "list", *exact, operator="bob")).result == [both[1]]
    wrong = ("devices", "revoke", "--serial", "x", "--issuer", "y")
    refused = await shell(plane, *wrong, operator="bob")
    assert "--serial (/serial): " in refused.words
    assert "--issuer (/issuer): " in refused.words


async def test_an_operator_is_named_whole(own_plane: ControlPlane) -> None:
    """`remove al` must not remove alice; but it says who there is."""
    refused = await shell(own_plane, "operators", "remove", "alic", operator=None)
    assert (refused.status, "did you mean alice?" in refused.words) == (1, True)
    assert "alice" in (await shell(own_plane, "operators", "list", operator=None)).output


async def found(plane: ControlPlane, name: str) -> Json:
    """Return what `connections show` shows of a name."""
    shown = await shell(plane, "connections", "show", name, "--json", operator="eve")
    assert shown.status == 0, shown
    return dict(shown.result)
