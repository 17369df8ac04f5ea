"""The agent does what its fleet has signed: it pulls, applies, checks, and goes back."""

import random
import signal
from pathlib import Path

from attrs import evolve

from device_agent.machine import Phase
from device_agent.partial import PIECE_BYTES
from device_agent.state_folder import StateFolder
from device_agent.update import MAX_APPLY_TRIES
from tests.support.eventually import eventually
from tests.support.memory import MIB
from tests.support.mounts import small_disk
from tests.support.signed_fleet import BETTER, EVIL, GOOD, SignedFleet, index_of, model_of
from tests.support.simulators.behaviour import Holds, WebPage


async def test_a_model_that_the_fleet_names_is_applied(fleet: SignedFleet) -> None:
    """Through a real facade, by its digest, and then there is nothing more to do."""
    fleet.release(model_of(GOOD))
    first = await fleet.device.update()
    assert (first.status, first.words) == (0, "")
    assert fleet.device.holds == GOOD
    asked = len(fleet.registry.requests)
    second = await fleet.device.update()
    assert second.status == 0
    assert len(fleet.registry.requests) == asked
    assert (await fleet.device.run("verify")).status == 0


async def test_of_an_index_the_manifest_of_the_device_is_applied(fleet: SignedFleet) -> None:
    """What it names for other machines is not asked for; afterwards nothing of it is left over."""
    index = index_of(GOOD)
    fleet.release(index)
    first = await fleet.device.update()
    assert (first.status, fleet.device.holds) == (0, GOOD), first
    other, this = index.images
    asked = {request.path.rpartition("/")[2] for request in fleet.front.requests}
    assert asked == {index.digest, this.digest, *(each.digest for each in this.blobs)}
    assert not asked & {other.digest, other.layers[0].digest}
    assert (await fleet.device.run("verify")).status == 0
    stored = fleet.device.state / "store" / "blobs" / "sha256"
    assert len(list(stored.iterdir())) == len(asked)
    before = len(fleet.front.requests)
    assert (await fleet.device.update()).status == 0
    assert len(fleet.front.requests) == before
    fleet.release(model_of(BETTER))
    assert (await fleet.device.update()).status == 0
    assert not (stored / index.digest.removeprefix("sha256:")).exists()


async def test_the_next_release_takes_its_place(fleet: SignedFleet) -> None:
    """And the bytes of the one before are given back."""
    fleet.release(model_of(GOOD))
    assert (await fleet.device.update()).status == 0
    fleet.release(model_of(BETTER))
    assert (await fleet.device.update()).status == 0
    assert fleet.device.holds == BETTER
    stored = sum(p.stat().st_size for p in (fleet.device.state / "store").rglob("*") if p.is_file())
    assert stored < 2 * len(BETTER)


async def test_a_model_on_another_file_system_is_a_copy(fleet: SignedFleet) -> None:
    """It is known again, and not copied each time; a reload is run after each change."""
    device = fleet.device
    said = device.folder / "reloaded"
    with small_disk(device.folder / "other", 4 * MIB) as other:
        reload = ["sh", "-c", f"echo reloaded >> {said}"]
        path = other / "models" / "vision.onnx"
        device.slots = {"model": {"kind": "model", "path": str(path), "reload": reload}}
        fleet.release(model_of(GOOD))
        assert (await device.update()).status == 0
        copied = path.stat().st_ino
        assert (await device.update()).status == 0
        assert (path.read_bytes(), path.stat().st_ino) == (GOOD, copied)
        assert said.read_text() == "reloaded\n"
        path.unlink()  # somebody's mistake
        assert (await device.run("verify")).status == 1
        assert (await device.update()).status == 0
        assert path.read_bytes() == GOOD


async def test_a_full_disk_is_said_and_what_runs_goes_on(fleet: SignedFleet) -> None:
    """No byte is asked for that has no room."""
    fleet.release(model_of(GOOD))
    assert (await fleet.device.update()).status == 0
    fleet.device.limits = {**fleet.device.limits, "keep_free_bytes": 2**60}
    fleet.release(model_of(BETTER))
    done = await fleet.device.update()
    assert (done.status, fleet.device.holds) == (75, GOOD)
    assert "stay free" in done.output
    assert not any(r.path.endswith(model_of(BETTER).layers[0].digest) for r in fleet.front.requests)


async def test_rot_is_found_and_mended(fleet: SignedFleet) -> None:
    """A stored blob that has changed is neither applied nor kept."""
    fleet.release(model_of(GOOD))
    assert (await fleet.device.update()).status == 0
    blob = fleet.device.state / "store" / "blobs" / "sha256"
    digest = model_of(GOOD).layers[0].digest.removeprefix("sha256:")
    (blob / digest).chmod(0o600)
    (blob / digest).write_bytes(EVIL)
    assert "other" in (await fleet.device.run("verify")).output
    fleet.release(model_of(BETTER))
    assert (await fleet.device.update()).status == 0
    fleet.release(model_of(GOOD))
    assert (await fleet.device.update()).status == 0
    assert (await fleet.device.run("verify")).status == 0


async def test_what_an_owner_forgot_is_said(fleet: SignedFleet, tmp_path: Path) -> None:
    """In a sentence, without a traceback, and nothing is begun."""
    device = evolve(fleet.device, folder=tmp_path / "new", slots={})
    for command in ("update", "status", "verify"):
        done = await device.run(command)
        assert (done.status, "install --root" in done.words) == (1, True), done
    device.install(fleet.root)
    other = fleet.root.with_name("other.json")
    other.write_bytes(fleet.root.read_bytes().replace(b'"version":1', b'"version":7'))
    assert "signed by" in (await device.run("install", "--root", str(other), "--again")).words
    again = await device.run("install", "--root", str(fleet.root))
    assert (again.status, "2 of 3 keys" in again.output) == (0, True)
    gone = evolve(device, server_ca=tmp_path / "gone.pem")
    done = await gone.run("install", "--root", str(fleet.root))
    assert "gone.pem" in done.words
    assert "Traceback" not in done.words
    status = await device.run("status")
    assert "applied: nothing" in status.output
    with StateFolder(device.state).locked():
        assert "another device-agent" in (await device.update()).words


async def test_no_key_shows_in_what_is_said_or_kept(fleet: SignedFleet) -> None:
    """The device's private key stays in its file."""
    fleet.release(model_of(GOOD))
    fleet.mirror.lies["timestamp.json"] = WebPage()
    said = [await fleet.device.update()]
    fleet.mirror.lies.clear()
    said += [await fleet.device.update(), await fleet.device.run("status")]
    canary = fleet.device.certificate.key.read_text().splitlines()[1]
    assert not any(canary in each.output + each.words for each in said)
    files = [path for path in fleet.device.state.rglob("*") if path.is_file()]
    assert not any(canary.encode() in path.read_bytes() for path in files)


async def test_a_kill_loses_no_piece_that_was_synced(fleet: SignedFleet) -> None:
    """The next run asks for what is behind it, and for nothing else."""
    content = random.Random(1).randbytes(2 * PIECE_BYTES + MIB)  # noqa: S311 the same bytes each time
    model = model_of(content)
    fleet.release(model)
    gate = Holds(2 * PIECE_BYTES + MIB // 2)
    fleet.lie_blob(content, get=gate)
    child = fleet.device.start("update")
    listed = fleet.device.state / "store" / "arriving"
    await eventually(lambda: any(path.stat().st_size == 18 for path in listed.glob("*.pieces")))
    child.kill()
    fleet.front.forget()
    done = await fleet.device.update()
    assert (done.status, fleet.device.holds) == (0, content)
    asked = [r for r in fleet.front.requests if r.path.endswith(model.layers[0].digest)]
    assert [each.header("Range") for each in asked] == [f"bytes={2 * PIECE_BYTES}-"]


async def test_a_release_that_ends_the_machine_is_taken_back(fleet: SignedFleet) -> None:
    """Each try ends with the agent; after three the device holds again what it held."""
    device = fleet.device
    check = f"grep -q good {device.model} || kill -9 $PPID"
    health = {"command": ["sh", "-c", check], "within_seconds": 0.0}
    device.slots = {"model": {**device.slots["model"], "health": health}}
    fleet.release(model_of(GOOD))
    assert (await device.update()).status == 0
    fleet.release(model_of(BETTER.replace(b"better", b"deadly")))
    ends = [(await device.update()).status for _ in range(MAX_APPLY_TRIES)]
    assert ends == [-signal.SIGKILL] * MAX_APPLY_TRIES
    done = await device.update()
    assert (done.status, device.holds) == (1, GOOD)
    assert "each ended here" in done.output


async def test_what_cannot_be_restored_does_not_hold_up_what_comes_next(
    fleet: SignedFleet,
) -> None:
    """A reload that fails, whatever it is told, must not keep a device from what mends it."""
    device = fleet.device
    fleet.release(model_of(GOOD))
    assert (await device.update()).status == 0
    device.slots = {"model": {**device.slots["model"], "reload": ["false"]}}
    fleet.release(model_of(EVIL))
    ends = [(await device.update()).status for _ in range(MAX_APPLY_TRIES + 1)]
    assert ends == [1] * (MAX_APPLY_TRIES + 1)
    assert (device.holds, device.journal.phase) == (GOOD, Phase.IDLE)
    device.slots = {"model": {**device.slots["model"], "reload": ["true"]}}
    fleet.release(model_of(BETTER))
    assert (await device.update()).status == 0
    assert device.holds == BETTER
