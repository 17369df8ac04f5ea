"""What the control plane does beside its calls has an owner, and fails without ending anything."""

from pathlib import Path

from control_plane.proof.audit_chain import CHECKPOINT_ENTRIES
from control_plane.proof.signer import Signer
from tests.support.control_plane import ControlPlane, KeyFiles
from tests.support.database import Database
from tests.support.database_writer import DatabaseWriter
from tests.support.eventually import eventually
from tests.support.long_log import lengthen

FAILURES = 'control_plane_background_failures_total{work="remembering"}'


async def failures(plane: ControlPlane) -> float:
    """Return how often the comparison with what was seen has failed, as the metric says."""
    text = (await plane.client("eve").call("GET", "/metrics")).body.decode()
    found = [line for line in text.splitlines() if line.startswith(FAILURES)]
    return float(found[0].split()[-1]) if found else 0.0


async def test_a_table_that_takes_no_row_ends_no_work(
    database: Database, keys: KeyFiles, tmp_path: Path
) -> None:
    """Who owns the tables has one refuse the checkpoint that is due: said, and tried again."""
    plane = await ControlPlane.start(
        tmp_path, owner_url=database.superuser_url, url=database.superuser_url, keys=keys
    )
    try:
        owner = DatabaseWriter(database.superuser_url)
        await owner.sql("ALTER TABLE audit_checkpoint ADD CHECK (false)")
        signer = Signer.from_private_pem(keys.statement_private.read_bytes())
        await lengthen(database.superuser_url, signer, CHECKPOINT_ENTRIES)
        await eventually(lambda: at_least(plane, 2))
        answer = await plane.client("eve").call("GET", "/readyz")
        assert (answer.status, "remembering failed" in answer.body.decode()) == (200, True)
        metrics = (await plane.client("eve").call("GET", "/metrics")).body.decode()
        assert 'control_plane_problem{part="background"} 1.0' in metrics
        lines = [each for each in plane.log_lines if each.get("part") == "remembering"]
        assert {line["level"] for line in lines} == {"error"}
        assert lines[0]["exception"][0]["sqlstate"]
        assert plane.child.running
        await owner.sql("ALTER TABLE audit_checkpoint DROP CONSTRAINT audit_checkpoint_check")

        async def is_written() -> bool:
            return database.sql("SELECT count(*) FROM audit_checkpoint") == "1"

        await eventually(is_written)
        plane.run("audit", "verify")
    finally:
        assert plane.stop() == 0


async def test_an_operator_without_a_payload_is_nobody(
    database: Database, keys: KeyFiles, tmp_path: Path
) -> None:
    """Who owns the tables takes a column away; it is an unbelieved row, and no 500."""
    plane = await ControlPlane.start(
        tmp_path, owner_url=database.superuser_url, url=database.superuser_url, keys=keys
    )
    try:
        owner = DatabaseWriter(database.superuser_url)
        for column in ("payload", "signature", "type", "key_id"):
            await owner.sql(f"ALTER TABLE statements ALTER {column} DROP NOT NULL")
            await owner.sql(
                f"UPDATE statements SET {column} = NULL WHERE subject = 'operator/alice'"
            )
            assert (await plane.client("alice").call("GET", "/v1/connections")).status == 401
        assert (await plane.client("eve").call("GET", "/v1/connections")).status == 200
    finally:
        assert plane.stop() == 0


async def at_least(plane: ControlPlane, count: int) -> bool:
    """Tell whether it failed so often: it is tried again."""
    return await failures(plane) >= count
