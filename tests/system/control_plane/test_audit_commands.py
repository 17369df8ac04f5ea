"""The log looked through, and an export held against the key and against the log of today."""

import subprocess
from pathlib import Path

import orjson
import pytest

from control_plane.audit.log_reading import OTHER_COLUMNS
from deploy.dev.product import PROGRAMS
from tests.support.commands import Ran
from tests.support.control_plane import ControlPlane, approved_connection, make_keys
from tests.support.database import Database
from tests.support.shell import ran, shell
from tests.support.surroundings import of_a_child
from tests.system.control_plane.test_openapi import require_documented


async def entries_of(
    plane: ControlPlane, *arguments: str, operator: str | None = "eve"
) -> dict[int, str]:
    """Return the action of each entry that `audit list` lists, by its place."""
    listed = await shell(plane, "audit", "list", *arguments, "--json", operator=operator)
    assert listed.status == 0, listed
    return {each["sequence"]: each["action"] for each in listed.result}


async def test_the_log_is_looked_through(own_plane: ControlPlane) -> None:
    """By who, what, about what and when; the same from the database and through the API."""
    view = await approved_connection(own_plane, "registry.example")
    await own_plane.client("bob").revoke(view["id"], reason="moved")
    connection = ("connection.connect", "connection.approve", "connection.revoke")
    acts = dict(enumerate((*["operator.add"] * 4, *connection), start=1))
    for operator in ("eve", None):
        assert await entries_of(own_plane, operator=operator) == acts
        for arguments, sequences in (
            (("--actor", "bob"), (6, 7)),
            (("--action", "connection."), (5, 6, 7)),
            (("--action", "operator.add", "--about", "operator/alice"), (1,)),
            (("--about", f"connection/{view['id'][:8]}"), (5, 6, 7)),
            (("--about", "connection/", "--actor", "alice"), (5,)),
            (("--last", "2"), (6, 7)),
            (("--since", "1h", "--last", "1"), (7,)),
            (("--until", "1h"), ()),
            (("--since", "2999-01-01T00:00:00Z"), ()),
            (("--until", "2999-01-01T00:00:00+02:00", "--actor", "nobody"), ()),
        ):
            found = await entries_of(own_plane, *arguments, operator=operator)
            assert found == {each: acts[each] for each in sequences}, arguments
    listed = await shell(own_plane, "audit", "list", operator="eve", settings={"COLUMNS": "80"})
    header, *lines = listed.output.splitlines()
    assert header.split() == ["SEQ", "AT", "ACTOR", "ACTION", "ABOUT"]
    assert [line.split()[3] for line in lines] == [*acts.values()]
    assert max(map(len, lines)) <= 80
    of_connections = [line for line in lines if "connection." in line]
    assert [line.split()[4] for line in of_connections] == ["registry.example"] * 3
    wide = await shell(own_plane, "audit", "list", "--wide", operator="eve")
    assert "reason=moved" in wide.output
    assert f" registry.example connection/{view['id']} " in wide.output
    assert view["fingerprint"] in wide.output
    nothing = await shell(own_plane, "audit", "list", "--actor", "nobody", operator="eve")
    assert (nothing.output, len(nothing.words.splitlines())) == ("", 1)
    host = await shell(own_plane, "audit", "list", "--about", "registry.example", operator="eve")
    assert "connections list --all --host HOST" in host.words


async def test_a_filter_is_held_against_what_was_signed(
    own_plane: ControlPlane, database: Database
) -> None:
    """A column may hide an entry from a filter, which is told; it makes none of somebody else's."""
    await approved_connection(own_plane, "registry.example")
    database.sql("UPDATE audit_entries SET actor = 'eve' WHERE sequence = 5")
    assert await entries_of(own_plane, "--actor", "eve") == {}
    listed = await shell(own_plane, "audit", "list", operator="eve")
    assert listed.status == 1
    assert f"1 entries: {OTHER_COLUMNS}" in " ".join(listed.words.split())
    answer = await own_plane.client("eve").call("GET", "/v1/audit")
    require_documented("GET", "/v1/audit", answer)
    said = {each["sequence"]: each["problem"] for each in answer.json["items"]}
    assert said == dict.fromkeys(said) | {5: OTHER_COLUMNS}
    database.sql("UPDATE audit_entries SET payload = 'forged'::bytea WHERE sequence = 6")
    listed = await shell(own_plane, "audit", "list", operator="eve")
    assert (listed.status, "1 entries are not believed" in listed.words) == (1, True)
    assert "not believed: the signature does not hold" in listed.output


@pytest.mark.parametrize(
    "query, parameters",
    [
        ("actor=&since=yesterday&limit=0", ["actor", "limit", "since"]),
        ("until=2030-01-01T00:00:00&abuot=x", ["abuot", "until"]),
        ("action=a&action=b", ["action"]),
    ],
)
async def test_a_wrong_filter_is_named(
    plane: ControlPlane, query: str, parameters: list[str]
) -> None:
    """It must not list everything."""
    answer = await plane.client("eve").call("GET", f"/v1/audit?{query}")
    require_documented("GET", "/v1/audit", answer)
    assert sorted(error["parameter"] for error in answer.json["errors"]) == parameters


async def test_what_the_list_needs_is_said() -> None:
    """One of two: a token, or the database."""
    refused = await ran({}, "audit", "list")
    assert refused.status == 2
    assert "CONTROL_PLANE_TOKEN: required; expected an operator's token, or" in refused.words
    wrong = await ran({"CONTROL_PLANE_TOKEN": "x"}, "audit", "list", "--since", "soon")
    assert (wrong.status, "such as 7d" in wrong.words) == (2, True)


class Exported:
    """An export, and how it verifies."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self.plane, self.file = plane, folder / "audit.jsonl"
        self.lines = plane.run("audit", "export").splitlines(keepends=True)

    async def verify(self, lines: list[str], *, with_database: bool = False) -> Ran:
        """Verify these lines, with the public key alone or with the database, too."""
        self.file.write_text("".join(lines))
        key = str(self.plane.keys.statement_public)
        environment = {"CONTROL_PLANE_STATEMENT_PUBLIC_KEY_FILE": key}
        if with_database:
            environment["CONTROL_PLANE_DATABASE_URL"] = self.plane.database_url
        return await ran(environment, "audit", "verify", str(self.file))


def test_an_export_on_a_full_disk_does_not_blame_the_database(own_plane: ControlPlane) -> None:
    """It fails at its first line, while it holds a connection."""
    unbuffered = own_plane.shell_settings() | {"PYTHONUNBUFFERED": "1"}
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(
            [PROGRAMS / "control-plane", "audit", "export"],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            text=True,
            env=of_a_child(unbuffered),
        )
    said = "the output cannot be written: no space left on device\n"
    assert (ran.returncode, ran.stderr) == (1, said)


async def test_an_export_is_verified(
    own_plane: ControlPlane, database: Database, tmp_path: Path
) -> None:
    """Whole, damaged in each way, and against a log from which something was taken since."""
    await approved_connection(own_plane, "registry.example")
    exported = Exported(own_plane, tmp_path)
    lines = exported.lines
    for with_database in (False, True):
        whole = await exported.verify(lines, with_database=with_database)
        assert (whole.status, "6 entries: signatures and chain agree" in whole.words) == (0, True)
    forged = orjson.loads(lines[1]) | {"payload": orjson.loads(lines[2])["payload"]}
    for damaged, fault in (
        ([], "the file is empty"),
        (lines[1:], "entry 2: entries before it are missing"),
        ([*lines[:2], *lines[3:]], "entry 4: does not follow the entry before it"),
        ([lines[1], lines[0], *lines[2:]], "entry 1: does not follow"),
        ([lines[0], orjson.dumps(forged).decode() + "\n", *lines[2:]], "entry 2: not believed"),
        ([*lines[:5], lines[5][:40]], "line 6: this is no entry of an export"),
        ([*lines, "\n"], "line 7: this is no entry"),
        ([*lines, '{"sequence": 7}\n'], "line 7: this is no entry"),
        ([*lines, "x" * 3_000_000], "line 7: this is no entry"),
    ):
        refused = await exported.verify(damaged)
        assert (refused.status, fault in refused.words) == (1, True), (fault, refused.words)
        assert "Traceback" not in refused.words
    await own_plane.client("alice").connect("other.example")
    later = await exported.verify(lines, with_database=True)  # an export is of its day
    assert later.status == 0
    database.sql("SET session_replication_role = replica;"
                 "DELETE FROM audit_entries WHERE sequence IN (2, 6);"
                 "UPDATE audit_entries SET signature = 'x' WHERE sequence = 4")  # fmt: skip
    cut = await exported.verify(lines, with_database=True)
    assert cut.status == 1
    assert cut.words.splitlines()[:3] == [
        "entry 2: the database does not have it any more",
        "entry 4: the database has another in its place",
        "entry 6: the database does not have it any more",
    ]
    alone = await exported.verify(lines)  # which cannot know
    assert alone.status == 0


async def test_an_export_of_another_key_does_not_verify(
    own_plane: ControlPlane, tmp_path: Path
) -> None:
    """And a file that is not there is a wrong call."""
    exported = Exported(own_plane, tmp_path)
    lines = [
        orjson.dumps(orjson.loads(line) | {"key_id": "0" * 16}).decode() + "\n"
        for line in exported.lines
    ]
    refused = await exported.verify(lines)
    said = f"{len(lines)} entries are signed with the statement key {'0' * 16}"
    assert (refused.status, said in refused.words) == (1, True)
    assert len(refused.words.splitlines()) == 2  # not one for each entry
    signing_key, verifying_key = (
        f"CONTROL_PLANE_STATEMENT_{half}_KEY_FILE" for half in ("PRIVATE", "PUBLIC")
    )
    other = own_plane.shell_settings() | {
        signing_key: str(make_keys(tmp_path / "k").statement_private)
    }
    whole = await ran(other, "audit", "verify")
    assert whole.status == 1
    assert f"{len(lines)} entries are signed with the statement key" in whole.words
    assert len(whole.words.splitlines()) <= 3  # a checkpoint may be of it, too
    nothing = await ran({"CONTROL_PLANE_DATABASE_URL": own_plane.database_url}, "audit", "verify")
    assert nothing.words == (
        f"{verifying_key}: required; expected the path of a PEM file of statement keys' public"
        " halves\n"
    )
    missing = await ran({}, "audit", "verify", str(tmp_path / "none"))
    assert (missing.status, "No such file" in missing.words) == (2, True)
