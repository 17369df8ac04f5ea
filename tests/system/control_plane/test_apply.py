"""Configuration as files, against a control plane that runs."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from control_plane.commands.answers import ConnectionAnswer
from control_plane.commands.api_client import ApiClient
from control_plane.commands.applying import Applying, Ended
from control_plane.declared.declared_set import declared_set
from control_plane.declared.file_schema import file_schema
from control_plane.declared.layers import Layer, layer_of, overlaid
from control_plane.declared.plan import Does, plan
from control_plane.declared.present import present_connection
from control_plane.declared.source_files import read_source
from control_plane.prefix import PREFIX
from control_plane.serving.config import ClientSettings
from shared.environment import load
from tests.support.commands import Ran
from tests.support.control_plane import ControlPlane, approved_connection, run_process
from tests.support.database import Database
from tests.support.shell import shell
from tests.system.control_plane.test_secrets_stay import dump_of

CANARY = "canary-token-of-a-file"
AS_WANTED = "Plan: nothing to do, 2 as wanted.\n"
SECRETS = {"FIRST_TOKEN": f"{CANARY}-1", "SECOND_TOKEN": f"{CANARY}-2"}


class Files:
    """A folder of files, and `control-plane` commands on them."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        """Hold both."""
        self.plane = plane
        self.folder = folder

    def write(self, name: str, value: Mapping[str, Any] | str) -> str:
        """Write a file, and return its path."""
        path = self.folder / name
        path.write_text(value if isinstance(value, str) else yaml.safe_dump(dict(value)))
        return str(path)

    async def apply(self, *arguments: str, operator: str = "alice", given: str = "") -> Ran:
        """Apply without asking registries; the canaries are in the environment."""
        return await shell(
            self.plane, "apply", "--no-check", *arguments,
            operator=operator, given=given, settings=SECRETS,
        )  # fmt: skip


@pytest.fixture
def files(plane: ControlPlane, tmp_path: Path) -> Files:
    """Files for the control plane that tests share: each takes hosts of its own."""
    return Files(plane, tmp_path)


def member(host: str, *, version: str = "1", env: str = "FIRST_TOKEN", **more: Any) -> Any:
    """Return a connection with a login."""
    login = {"username": "robot", "tokenFrom": {"env": env, "version": version}}
    return {"host": host, "provider": "static", **login, **more}


def named(**connections: Any) -> dict[str, Any]:
    """Return a file of connections, of a set that has the first one's host as its name."""
    (first, *_) = connections.values()
    return {"set": first["host"], "connections": connections}


class Hall(Files):
    """A control plane with nothing but these files' connections; everything said is kept."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        """Write the first file."""
        super().__init__(plane, folder)
        self.said: list[Ran] = []
        self.one = member("one.example")
        self.two = member("two.example", env="SECOND_TOKEN", fleets=["a"])
        self.path = self.write("a.yaml", self.of(one=self.one, two=self.two))

    def of(self, **connections: Any) -> dict[str, Any]:
        """Return a file of the set."""
        return {"set": "hall", "connections": connections}

    async def ran(self, *arguments: str, expect: int = 0, operator: str = "alice") -> Ran:
        """Apply; the exit status is as expected."""
        ran = await self.apply(*arguments, operator=operator)
        self.said.append(ran)
        assert ran.status == expect, ran
        return ran

    async def views(self) -> list[Any]:
        """Return what is there."""
        return await self.plane.client("eve").list()

    async def approve_all(self) -> list[Any]:
        """Have bob approve what waits, by the fingerprints."""
        waiting = [each for view in await self.views() if (each := view["draft"] or view)]
        named = [word for each in waiting for word in ("--approve", each["fingerprint"])]
        await self.ran("-f", self.path, *named, "--wait", operator="bob")
        again = await self.ran("-f", self.path, *named, operator="bob")
        assert again.output == AS_WANTED
        return await self.views()


@pytest.fixture
def hall(own_plane: ControlPlane, tmp_path: Path) -> Hall:
    """Files for a control plane of the test's own."""
    return Hall(own_plane, tmp_path)


async def test_apply_makes_drafts_and_says_what_to_approve(hall: Hall) -> None:
    """A dry run changes nothing, the second run neither, and a connector approves nothing."""
    planned = await hall.ran("-f", hall.path, "--dry-run", expect=3)
    assert "+ one.example will be connected" in planned.output
    assert "fingerprint:      known once the draft is made" in planned.output
    assert await hall.views() == []
    made = await hall.ran("-f", hall.path)
    assert "      caution: " in made.output
    first, second = await hall.views()
    assert (first["set_name"], first["secret_label"], first["status"]) == ("hall", "1", "pending")
    assert f"one.example: connected; its draft has {first['fingerprint']}" in made.output
    assert f"--approve {first['fingerprint']}" in made.words
    waiting = await hall.ran("-f", hall.path, "--dry-run")
    assert f"      fingerprint:      {second['fingerprint']}" in waiting.output
    assert "Plan: nothing to do, 2 waiting for approval." in waiting.output
    assert (await hall.ran("-f", hall.path)).output == waiting.output
    denied = await hall.ran("-f", hall.path, "--approve", first["fingerprint"], expect=1)
    assert "FAILED: 403" in denied.words
    assert await hall.views() == [first, second]
    assert [each["status"] for each in await hall.approve_all()] == ["approved", "approved"]


async def test_overlays_versions_and_exports(hall: Hall, database: Database) -> None:
    """Drafts beside what serves, taken back again; an export applied changes nothing."""
    await hall.ran("-f", hall.path)
    approved = await hall.approve_all()
    overlay = hall.write(
        "over.yaml", "connections: {one: {tokenFrom: {version: 2}}, two: {fleets: null}}"
    )
    changed = await hall.ran("-f", hall.path, "-f", overlay)
    assert "    ~ tokenFrom:        version 1 -> 2, from the variable FIRST_TOKEN" in changed.output
    drafts = [each["draft"] for each in await hall.views()]
    assert [(each["secret_label"], each["fleets"]) for each in drafts] == [("2", []), ("1", [])]
    assert drafts[0]["secret_version"] > approved[0]["secret_version"]
    taken_back = await hall.ran("-f", hall.path)
    assert "one.example: draft discarded" in taken_back.output
    assert await hall.views() == approved
    exported = await shell(hall.plane, "export", operator="eve")
    copy = hall.write("export.yaml", exported.output)
    assert (await hall.ran("-f", copy, "--dry-run", "--prune")).output == AS_WANTED
    seen = "".join(f"{ran.output}{ran.words}" for ran in [*hall.said, exported])
    assert CANARY not in seen + dump_of(database) + hall.plane.log.read_text()


async def test_prune_needs_an_approver_who_says_so(hall: Hall) -> None:
    """And then ends what left the files, for ever, with the reason in the log."""
    await hall.ran("-f", hall.path)
    await hall.approve_all()
    alone = hall.write("b.yaml", hall.of(two=hall.two))
    refused = await hall.ran("-f", alone, "--prune", "--yes", expect=1)
    assert "needs the role approver" in refused.words
    unasked = await hall.ran("-f", alone, "--prune", operator="bob", expect=2)
    assert "--yes" in unasked.words
    pruned = await hall.ran("-f", alone, "--prune", "--yes", operator="bob")
    assert "one.example: revoked, for ever" in pruned.output
    assert [each["status"] for each in await hall.views()] == ["revoked", "approved"]
    reasons = [entry["details"].get("reason") for entry in await hall.plane.client("eve").audit()]
    assert "no longer in the files of the set hall" in reasons


async def test_what_the_files_do_not_name_is_left_alone(files: Files, host: str) -> None:
    """Prune as well touches only what carries the set's name."""
    by_hand = await approved_connection(files.plane, f"hand-{host}")
    path = files.write("a.yaml", named(a=member(host)))
    ran = await files.apply("-f", path, "--prune", "--yes")
    assert ran.status == 0, ran
    assert await files.plane.client("eve").show(by_hand["id"]) == by_hand


async def test_one_that_is_refused_does_not_hold_up_the_others(files: Files, host: str) -> None:
    """Each is told; but nothing is revoked, because what takes its place may be missing."""
    old = named(a=member(host), b=member(f"b-{host}"))
    assert (await files.apply("-f", files.write("a.yaml", old))).status == 0
    value = {
        "set": host,
        "connections": {
            "wrong": {
                "host": "gcr.io",
                "repositoryPrefix": host.partition(".")[0],
                "provider": "google_service_account",
                "serviceAccountKeyFrom": {"file": "key.json", "version": "1"},
            },
            "right": member(f"c-{host}"),
        },
    }
    files.write("key.json", orjson.dumps({"type": CANARY}).decode())
    path = files.write("b.yaml", value)
    ran = await files.apply("-f", path, "--prune", "--yes", operator="bob")
    assert ran.status == 1
    assert "FAILED: 422" in ran.words
    assert "serviceAccountKeyFrom: " in ran.words
    assert f"c-{host}: connected" in ran.output
    assert f"{host}: NOT TRIED: nothing is revoked after a failure" in ran.words
    assert CANARY not in ran.words + ran.output
    result = (await files.apply("-f", path, "--dry-run", "--prune", "--json")).result
    actions = {each["host"]: each["action"] for each in result["connections"]}
    assert actions == {
        "gcr.io": "connect", f"c-{host}": "wait", host: "revoke", f"b-{host}": "revoke",
    }  # fmt: skip


async def test_what_refuses_one_for_its_caller_ends_the_run(files: Files, host: str) -> None:
    """A thousand refusals say no more than one."""
    path = files.write("a.yaml", named(a=member(host), b=member(f"b-{host}")))
    ran = await files.apply("-f", path, operator="eve")
    assert ran.status == 1
    assert f"{host}: FAILED: 403" in ran.words
    assert f"b-{host}: NOT TRIED: what refused the one before refuses all" in ran.words
    away = await shell(
        files.plane, "apply", "-f", path,
        settings=SECRETS | {"CONTROL_PLANE_URL": "http://127.0.0.1:9"},
    )  # fmt: skip
    assert (away.status, away.output) == (1, "")


async def test_two_at_once_end_in_one_connection_and_words(files: Files, host: str) -> None:
    """Whoever was slower is told who has the place; the next run has nothing to do."""
    path = files.write("a.yaml", named(a=member(host)))
    settings = files.plane.shell_settings("alice") | SECRETS
    arguments = ("apply", "--no-check", "-f", path)
    both = await asyncio.gather(
        *(asyncio.to_thread(run_process, settings, *arguments) for _ in range(2))
    )
    for ran in both:
        if ran.status:
            assert "FAILED: 409" in ran.words
            assert "is connected already" in ran.words
    assert min(ran.status for ran in both) == 0
    assert (await files.apply("-f", path, "--dry-run")).status == 0


async def test_what_somebody_changed_since_the_plan_is_left_to_the_next_one(
    plane: ControlPlane, host: str
) -> None:
    """Neither changed nor revoked: the plan was of something else."""
    alice, bob = plane.client("alice"), plane.client("bob")
    changed = await alice.connect(host, set_name=host)
    pruned = await alice.connect(f"b-{host}", set_name=host)
    files = layer_of(
        "a",
        read_source(
            "a", f"set: {host}\nconnections: {{a: {{host: {host}, provider: static}}}}".encode()
        ),
    )
    configured = load(ClientSettings, PREFIX, plane.shell_settings("bob"))
    async with ApiClient.open(configured) as api:
        views = await api.items(ConnectionAnswer, "connections")
        present = [each for view in views if (each := present_connection(view)) is not None]
        wanted = declared_set(
            overlaid([files, Layer({"connections": {"a": {"fleets": ["x"]}}}, {})]), _no_file
        )
        planned = plan(wanted, present, prune=True)
        assert [step.does for step in planned.steps] == [Does.CHANGE, Does.REVOKE]
        for view in (changed, pruned):
            await alice.edit(view["id"], fleets=["meanwhile"])
        applying = Applying(api, {}, check=False, wait=print)
        outcomes = await applying.outcomes(planned, lambda _: None)
    assert "somebody changed it since the plan was made" in outcomes[0].words
    assert outcomes[1].ended is Ended.NOT_TRIED
    for view in (changed, pruned):
        assert (await bob.show(view["id"]))["fleets"] == ["meanwhile"]


def _no_file(_way: object, _path: str) -> str:
    raise AssertionError("there is no file to read")


async def test_secrets_are_read_before_anything_is_changed(files: Files, host: str) -> None:
    """All that are missing are named; a command runs only if that was said."""
    value = named(
        a=member(host),
        b=member(f"b-{host}", env="NO_SUCH_VARIABLE"),
        c=member(f"c-{host}") | {"tokenFrom": {"file": "none", "version": "1"}},
        d=member(f"d-{host}") | {"tokenFrom": {"command": ["cat", "token"], "version": "1"}},
    )
    path = files.write("a.yaml", value)
    ran = await files.apply("-f", path)
    assert ran.status == 2
    assert "b: the variable NO_SUCH_VARIABLE is not set" in ran.words
    assert "c: the file none: there is no such file" in ran.words
    assert "d: the command cat is run only with --allow-commands" in ran.words
    assert (await files.apply("-f", path, "--dry-run")).output.count("will be connected") == 4
    del value["connections"]["b"], value["connections"]["c"]
    files.write("token", f"{CANARY}-of-a-command\n")
    path = files.write("a.yaml", value)
    assert (await files.apply("-f", path, "--allow-commands")).status == 0


async def test_who_waits_is_told_when_it_is_approved_or_not(files: Files, host: str) -> None:
    """Within a bound."""
    path = files.write("a.yaml", named(a=member(host)))
    late = await files.apply("-f", path, "--wait", "--timeout", "1s")
    assert late.status == 1
    assert f"{host}: still waits for an approver: sha256:" in late.words
    waiting = asyncio.create_task(files.apply("-f", path, "--wait", "--timeout", "60s"))
    (drafted,) = await files.plane.client("bob").list(host=host)
    await files.plane.client("bob").approve(drafted)
    assert (await waiting).status == 0


async def test_who_waits_is_told_why_a_draft_was_sent_back(files: Files, host: str) -> None:
    """The plan tells it too, until the files say otherwise."""
    path = files.write("a.yaml", named(a=member(host)))
    assert (await files.apply("-f", path)).status == 0
    (drafted,) = await files.plane.client("bob").list(host=host)
    ran = await shell(
        files.plane, "connections", "send-back", drafted["id"], "--comment", "which fleets?",
        operator="bob",
    )  # fmt: skip
    assert ran.status == 0, ran
    waits = await files.apply("-f", path, "--wait", "--timeout", "60s")
    assert (waits.status, "which fleets?" in waits.words) == (1, True)
    assert "      bob sent it back at " in waits.output
    mended = files.write("b.yaml", named(a=member(host, fleets=["line-a"])))
    assert "sent it back" not in (await files.apply("-f", mended)).output
    assert "sent it back" not in (await files.apply("-f", mended)).output


async def test_a_fingerprint_of_anything_else_approves_nothing(files: Files, host: str) -> None:
    """Neither a draft that the files do not want, nor one of another connection."""
    alice, bob = files.plane.client("alice"), files.plane.client("bob")
    path = files.write("a.yaml", named(a=member(host)))
    assert (await files.apply("-f", path)).status == 0
    (drafted,) = await alice.list(host=host)
    edited = await alice.edit(drafted["id"], fleets=["elsewhere"])
    other = await alice.connect(f"other-{host}")
    for fingerprint, words in (
        (edited["fingerprint"], f"is of a draft of {host} that the files do not want"),
        (other["fingerprint"], "no draft of these connections has"),
        (drafted["fingerprint"], "is it an earlier one?"),
    ):
        ran = await files.apply("-f", path, "--approve", fingerprint, operator="bob")
        assert (ran.status, words in ran.words) == (1, True), ran
    assert (await bob.show(drafted["id"]))["fingerprint"] == edited["fingerprint"]
    assert (await bob.show(drafted["id"]))["status"] == "pending"


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("--dry-run", "--wait"), "not both"),
        (("--yes",), "--yes answers --prune"),
        (("--approve", "sha256:1"), "expected sha256:"),
        (("--no-expiry",), "is of --approve"),
        (("-f", "/nowhere/at-all"), "there is no such file"),
        (("--prune", "--yes"), "needs the name of the set"),
    ],
)
async def test_wrong_calls_are_told_and_exit_with_2(
    files: Files, arguments: tuple[str, ...], words: str
) -> None:
    """Before the control plane is asked anything."""
    path = files.write("a.yaml", "connections: {}")
    ran = await files.apply("-f", path, *arguments)
    assert (ran.status, words in ran.words) == (2, True), ran


async def test_wrong_files_are_told_by_line_and_exit_with_2(files: Files) -> None:
    """From standard input too, and as overlays."""
    ran = await files.apply("-f", "-", given="connections:\n  a: {host: ghcr.io}\n  b: x\n")
    assert ran.status == 2
    assert "-:2: /connections/a/provider: this field is required" in ran.words
    assert "-:3: /connections/b: expected a mapping" in ran.words


async def test_the_schema_is_printed(files: Files) -> None:
    """Without a control plane."""
    for arguments, overlay in (((), False), (("--overlay",), True)):
        ran = await shell(files.plane, "schema", *arguments, operator=None)
        assert ran.result == file_schema(overlay=overlay)
