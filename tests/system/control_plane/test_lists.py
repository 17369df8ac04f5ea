"""Lists as people read them: one line each, whatever is in them, and whole where nobody looks."""

import uuid

from rich.cells import cell_len

from tests.support.commands import Ran
from tests.support.control_plane import ControlPlane, approved_connection
from tests.support.shell import ran, shell
from tests.support.simulators.admin_api import AdminApi, Json
from tests.support.terminal import at_terminal

ECR_HOST = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
AT_80 = {"COLUMNS": "80"}
BOXES = set("─━│┃┏┓┗┛┡┩├┤┬┴┼╇╈╔╗╚╝|+")


def rows(output: str) -> list[str]:
    """Return the lines behind the header, which is in capitals."""
    header, *rest = output.splitlines()
    assert header == header.upper()
    return rest


async def simulated(views: list[Json], *arguments: str, **settings: str) -> Ran:
    """Return what a command prints of these connections."""
    async with AdminApi.serving(views) as api:
        return await ran(api.settings | settings, *arguments)


def view(host: str, **fields: object) -> Json:
    """Return a connection of some id."""
    return {"id": str(uuid.uuid4()), "host": host, **fields}


async def test_a_list_is_one_line_a_connection_at_80_columns(own_plane: ControlPlane) -> None:
    """At a real terminal: no boxes, nothing folded, and what people have fits whole."""
    alice, bob = own_plane.client("alice"), own_plane.client("bob")
    ghcr = await approved_connection(own_plane, "ghcr.io", username="robot", token="x")
    await alice.edit(ghcr["id"], fleets=["a"])
    team = await alice.connect("registry.example.com:5000", repository_prefix="team/app")
    role = "arn:aws:iam::123456789012:role/pull-for-devices"
    ecr = await alice.connect(ECR_HOST, provider="aws_ecr", role_arn=role)
    await bob.revoke(ecr["id"])
    in_colours = own_plane.shell_settings("eve") | {"TERM": "xterm"}
    settings = in_colours | {"NO_COLOR": "1"}
    coloured = at_terminal(in_colours, "connections", "list").screen
    assert "\x1b[32mapproved+draft\x1b[0m  robot" in coloured
    assert "\x1b[33mpending\x1b[0m         anonymous" in coloured
    present = at_terminal(settings, "connections", "list").screen
    assert ECR_HOST not in present
    assert "1 revoked one is left out: --all" in present
    of_status = at_terminal(settings, "connections", "list", "--status", "revoked").screen
    assert [line.split()[1] for line in rows(of_status)] == [ECR_HOST]
    output = at_terminal(settings, "connections", "list", "--all").screen
    assert "\x1b" not in output
    assert BOXES.isdisjoint(output.replace("approved+draft", ""))
    assert all(cell_len(line) <= 80 for line in output.splitlines())
    first, second, third = (line.split() for line in rows(output))
    assert first[1:] == ["ghcr.io", "approved+draft", "robot"]
    assert second[1:3] == ["registry.example.com:5000/team/app", "pending"]
    assert third[1:3] == [ECR_HOST, "revoked"]
    for line, made in zip((first, second, third), (ghcr, team, ecr), strict=True):
        assert made["id"].startswith(line[0])
        assert len(line[0]) == 8
    wide = at_terminal(settings, "connections", "list", "--all", "--wide").screen
    assert len(rows(wide)) == 3
    for whole in (ghcr["id"], role, ghcr["approved_at"], "static"):
        assert whole in wide


async def test_a_draft_that_was_sent_back_is_not_shown_as_waiting() -> None:
    """It waits for whoever made it, and not for an approver; so it is beside what serves."""
    back = {"by": "bob", "at": "2026-11-29T00:00:00.000Z", "comment": "only team/**"}
    views = [
        view("a.example", status="pending", sent_back=back),
        view("b.example", draft={"sent_back": back}),
        view("c.example", draft={"sent_back": None}),
        view("d.example", status="pending", sent_back=None),
    ]
    listed = await simulated(views, "connections", "list")
    assert [line.split(maxsplit=2)[2] for line in rows(listed.output)] == [
        "sent back           anonymous",
        "approved+sent back  anonymous",
        "approved+draft      anonymous",
        "pending             anonymous",
    ]


async def test_what_does_not_fit_is_cut_at_a_terminal_alone(host: str) -> None:
    """A prefix of 250 characters, a host of 253; piped, and with --wide, they are whole."""
    long = ".".join(["x" * 60] * 4)
    views = [
        view(host, repository_prefix="p" * 250),
        view(long, username="u" * 256, anonymous=False),
        view("ghcr.io", problem="the approval has expired"),
    ]
    cut = await simulated(views, "connections", "list", COLUMNS="80")
    assert [cell_len(line) <= 80 for line in cut.output.splitlines()] == [True] * 4
    assert cut.output.count("…") >= 2
    for whole in (
        await simulated(views, "connections", "list"),
        await simulated(views, "connections", "list", "--wide", COLUMNS="80"),
    ):
        assert "…" not in whole.output
        assert len(rows(whole.output)) == 3
        for text in (f"{host}/{'p' * 250}", long, "u" * 256, "the approval has expired"):
            assert text in whole.output


async def test_wide_letters_and_control_characters_keep_the_columns() -> None:
    """A terminal is not steered, and each column begins where its header does."""
    views = [
        view("a.example", username="机器人", anonymous=False, description="\x1b[2J\u202e\nx"),
        view("b.example", username="robot", anonymous=False, description="e\u0301"),
    ]
    listed = await simulated(views, "connections", "list", "--wide")
    header, first, second = listed.output.splitlines()
    assert r"\x1b[2J\u202e\nx" in first
    at = cell_len(header[: header.index("PROVIDER")])
    for line in (first, second):
        assert cell_len(line[: line.index("static")]) == at
    cut = await simulated(
        [view("a.example", username="机" * 100, anonymous=False)], "connections", "list", **AT_80
    )
    assert all(cell_len(line) <= 80 for line in cut.output.splitlines())


async def test_ids_that_begin_alike_are_longer() -> None:
    """As short as they may be, and each is what a command takes."""
    alike = ["1234567a-0000-4000-8000-000000000000", "1234567a-0000-4000-8000-00000000000a",
             "1234567b-0000-4000-8000-000000000000"]  # fmt: skip
    views = [view(f"{number}.example", id=each) for number, each in enumerate(alike)]
    async with AdminApi.serving(views) as api:
        listed = await ran(api.settings, "connections", "list")
        shorts = [line.split()[0] for line in rows(listed.output)]
        assert shorts == [alike[0], alike[1], "1234567b"]
        shown = await ran(api.settings, "connections", "show", shorts[2], "--json")
        assert shown.result["id"] == alike[2]
        refused = await ran(api.settings, "connections", "show", "1234567")
    assert refused.status == 2
    assert [each in refused.words for each in alike] == [True] * 3


async def test_ten_thousand_connections_are_listed() -> None:
    """Page by page, each larger than what one read of a socket gives; all are there once."""
    views = [view(f"registry-{number}.example") for number in range(10_000)]
    views[0]["ca_certificate"] = "x" * 1_000_000
    async with AdminApi.serving(views) as api:
        listed = await ran(api.settings, "connections", "list")
        as_json = await ran(api.settings, "connections", "list", "--json")
        assert api.limits == [200] * 100
    lines = rows(listed.output)
    assert [line.split()[1] for line in lines] == [each["host"] for each in views]
    assert len({line.split()[0] for line in lines}) == 10_000
    assert [each["id"] for each in as_json.result] == [each["id"] for each in views]


async def test_devices_and_operators_are_lists_of_the_same_kind(own_plane: ControlPlane) -> None:
    """One line each, at 80 columns whole; an empty one says so where people read, not a program."""
    for arguments in (("connections", "list"), ("devices", "list")):
        listed = await shell(own_plane, *arguments, operator="bob")
        assert (listed.status, listed.output, len(listed.words.splitlines())) == (0, "", 1)
        as_json = await shell(own_plane, *arguments, "--json", operator="bob")
        assert (as_json.output, as_json.words) == ("[]\n", "")
    bob = own_plane.client("bob")
    device = "spiffe://example.com/fleet/line-a/device/press-7"
    revoked = await bob.revoke_device(device=device, reason="stolen")
    serial = await bob.call(
        "POST", "/v1/device-revocations", {"serial": "0A:BC", "issuer": "CN=Device CA"}
    )
    listed = await shell(own_plane, "devices", "list", operator="bob", settings=AT_80)
    assert rows(listed.output) == [
        f"{revoked['id'][:8]}  {device}  bob",
        f"{serial.json['id'][:8]}  serial:abc{' ' * (len(device) - 10)}  bob",
    ]
    one = await shell(own_plane, "devices", "list", device, operator="bob")
    assert rows(one.output)[0].split() == [revoked["id"], device, "bob"]  # nothing to compare with
    wide = await shell(own_plane, "devices", "list", "--wide", operator="bob")
    assert "stolen" in wide.output
    assert "CN=Device CA" in wide.output
    operators = await shell(own_plane, "operators", "list", operator=None, settings=AT_80)
    assert [line.split() for line in rows(operators.output)] == [
        ["alice", "connector", "-"],
        ["bob", "approver", "-"],
        ["eve", "viewer", "-"],
        ["root", "admin", "-"],
    ]
    wide = await shell(own_plane, "operators", "list", "--wide", operator=None)
    assert "shell:test" in wide.output
    for output in (listed.output, operators.output):
        assert BOXES.isdisjoint(output)
