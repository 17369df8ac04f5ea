"""The attacks of the papers on TUF and Uptane, one by one. Nothing wrong is ever applied.

The device runs one release. Then the mirror, the facade in front of it and the registry behind the
real facade lie, together where the attack lets them. Afterwards the device runs what it ran, says
why, and takes the next release once they are honest again. `docs/trust.md` has the table.
"""

import datetime as dt
import shutil
from collections.abc import Callable, Mapping
from typing import Any

import orjson
import pytest
from attrs import evolve
from tuf.api.metadata import Root, Snapshot, Targets, Timestamp

from deploy.dev.image import MANIFEST, Content, Image, make_image, make_index
from device_agent import journal as journals
from device_agent.machine import Phase
from device_repository.repository import target_of
from tests.support.eventually import eventually
from tests.support.fleet_keys import FLEET, FleetKeys
from tests.support.signed_fleet import BETTER, EVIL, GOOD, SignedFleet, index_of, model_of
from tests.support.simulators.behaviour import (
    Answers,
    Behaviour,
    BreaksEvery,
    Endless,
    FewerBytes,
    MoreBytes,
    OtherBytes,
    RawBytes,
    RedirectsTo,
    Slow,
    Stalls,
    TypedAs,
    WebPage,
)
from tests.support.simulators.registry import StoreSimulator
from tests.support.thief import Thief

BEST = b"best model..." * 9000
ONLINE = (Snapshot.type, Timestamp.type)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
NO_END = Endless(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"4\r\n    \r\n")


@pytest.fixture
async def running(fleet: SignedFleet) -> SignedFleet:
    """A fleet whose device runs its first release."""
    fleet.release(model_of(GOOD))
    done = await fleet.device.update()
    assert done.status == 0, done
    return fleet


async def refused(fleet: SignedFleet, *words: str) -> str:
    """Update; return what is said. What ran goes on running."""
    done = await fleet.device.update()
    assert done.status != 0, done.output
    assert fleet.device.holds == GOOD
    journal = fleet.device.journal
    assert journal.phase is Phase.IDLE
    problem = str(journal.problem)
    assert any(word in problem for word in words), problem
    return problem


def everybody_has(fleet: SignedFleet, artifact: Image) -> None:
    """Have registry and facade hold an artifact, as accomplices do."""
    fleet.push(artifact)
    for blob in (*artifact.layers, artifact.config):
        fleet.lie_blob(blob.body)
    fleet.lie_manifest(artifact.manifest.body)


def evil_target(fleet: SignedFleet) -> dict[str, Any]:
    """Return what a thief has a fleet name."""
    evil = model_of(EVIL)
    everybody_has(fleet, evil)
    return {"repository": fleet.path, "manifest": evil.manifest.body, "media_type": MANIFEST}


def stolen(keys: FleetKeys, *roles: str, count: int) -> dict[str, Any]:
    """Return so many keys of each role."""
    return {role.replace("-", "_"): keys.signers[role][:count] for role in roles}


# --- Arbitrary software.


async def test_software_that_no_key_of_the_fleet_has_signed(running: SignedFleet) -> None:
    """Mirror, facade and registry agree on it, and it is whole: only the signatures are missing."""
    thief = Thief.of(running.repository.files)
    running.mirror.others.update(thief.forge_target("model", **evil_target(running)))
    await refused(running, "not signed by enough keys")
    running.release(model_of(BETTER))
    assert await running.is_well(BETTER)


LYING_BYTES: Mapping[str, Behaviour] = {
    "other bytes": OtherBytes(),
    "more bytes": MoreBytes(counted=True),
    "another length": MoreBytes(),
    "a web page": WebPage(),
}


@pytest.mark.parametrize("lie", LYING_BYTES)
@pytest.mark.parametrize("liar", ["registry", "facade"])
async def test_other_bytes_under_the_right_digest(
    running: SignedFleet, liar: str, lie: str
) -> None:
    """The registry behind the real facade lies, or what stands before it does."""
    better = model_of(BETTER)
    running.push(better, layer=LYING_BYTES[lie])
    running.name(better)
    running.keys.sign_all(running.repository)
    if liar == "facade":
        running.lie_blob(BETTER, get=LYING_BYTES[lie])
    if lie == "another length":  # what lies behind the length that was announced is nobody's
        assert (await running.device.update()).status == 0
        assert running.device.holds == BETTER
        return
    await refused(running, "other bytes", "broke", "announces", "given up", "the facade answers")
    running.release(model_of(BEST))  # of `better` the real facade asks the registry no more for now
    assert await running.is_well(BEST)


# --- Rollback and replay.


@pytest.mark.parametrize("memory", ["whole", "lost"])
async def test_an_older_repository_is_shown_again(running: SignedFleet, memory: str) -> None:
    """Every file of it was signed once. Also when a disk has lost what python-tuf remembers."""
    published = running.repository.files.published
    before = published.with_name("before")
    shutil.copytree(published, before)
    everybody_has(running, model_of(GOOD))
    running.release(model_of(BETTER))
    running.release(model_of(GOOD))  # a way back that the fleet has signed is none
    assert (await running.device.update()).status == 0
    running.mirror.folder = before
    if memory == "lost":
        shutil.rmtree(running.device.state / "metadata")
    await refused(running, "rolled back")
    running.mirror.folder = published
    running.release(model_of(BETTER))
    assert await running.is_well(BETTER)


async def test_a_release_that_failed_here_is_not_tried_again(running: SignedFleet) -> None:
    """Whoever replays it would stop the device again and again."""
    check = {"command": ["/usr/bin/grep", "-q", "good", str(running.device.model)]}
    slot = {**running.device.slots["model"], "health": {**check, "within_seconds": 0.0}}
    running.device.slots = {"model": slot}
    running.release(model_of(EVIL))
    assert "failed" in await refused(running, "health check failed")
    asked = len(running.registry.pulls)
    done = await running.device.update()
    assert (done.status, running.device.holds) == (0, GOOD)
    assert "not tried again" in done.output
    assert len(running.registry.pulls) == asked


# --- Indefinite freeze.


@pytest.mark.parametrize("role", [Root.type, Targets.type, FLEET, Snapshot.type, Timestamp.type])
async def test_metadata_that_has_expired(running: SignedFleet, role: str) -> None:
    """A mirror that shows nothing new is believed for no longer than was signed."""
    of_today = running.repository
    running.repository = evolve(of_today, clock=lambda: a_year_ago(role))
    running.repository.set_keys(FLEET, running.keys.role_keys(FLEET))
    if role == Root.type:
        running.repository.set_keys(Root.type, running.keys.role_keys(Root.type))
    running.keys.sign_all(running.repository)
    if role not in ONLINE:
        of_today.publish(running.keys.online)
    await refused(running, "frozen")
    running.repository = of_today
    for each in (Root.type, FLEET):
        of_today.set_keys(each, running.keys.role_keys(each))
    running.release(model_of(BETTER))
    assert await running.is_well(BETTER)


def a_year_ago(role: str) -> dt.datetime:
    """Return when to sign, so that the role has expired: the snapshot lives a week longer."""
    days = 7 if role == Timestamp.type else 400
    return dt.datetime.now(dt.UTC) - dt.timedelta(days=days)


async def test_a_clock_that_went_back(running: SignedFleet) -> None:
    """Otherwise what has expired would be fresh again."""
    journal = running.device.state / "journal.json"
    _postpone(journal, dt.timedelta(days=1))
    await refused(running, "the clock says")


def _postpone(journal: Any, later: dt.timedelta) -> None:
    """Have the journal have been written later than now."""
    written = journals.load(journal)
    assert written.believed_at is not None
    journals.save(journal, evolve(written, believed_at=written.believed_at + later))


# --- Endless data, slow retrieval.


@pytest.mark.parametrize("role", [Root.type, Timestamp.type, Snapshot.type, FLEET])
async def test_metadata_without_an_end(running: SignedFleet, role: str) -> None:
    """No disk fills, and no memory."""
    running.release(model_of(BETTER))
    running.mirror.lies[_next_file(running, role)] = NO_END
    await refused(running, "endless")
    assert await running.is_well(BETTER)


def _next_file(fleet: SignedFleet, role: str) -> str:
    """Return the file of a role that the device asks for next."""
    snapshot = fleet.repository.files.snapshot()
    assert snapshot is not None
    match role:
        case Timestamp.type:
            return "timestamp.json"
        case Root.type:
            return "2.root.json"
        case Snapshot.type:
            return f"{snapshot.signed.version}.snapshot.json"
        case _:
            return f"{snapshot.signed.meta[f'{role}.json'].version}.{role}.json"


@pytest.mark.parametrize("what", ["manifest", "blob"])
async def test_content_without_an_end(running: SignedFleet, what: str) -> None:
    """Not a byte more is taken than was signed."""
    better = model_of(BETTER)
    running.release(better)
    running.push(better, manifest=NO_END, layer=NO_END)
    endless = Endless(NO_END.begin.replace(b"application/json", MANIFEST.encode()), NO_END.again)
    if what == "manifest":
        running.lie_manifest(better.manifest.body, get=endless)
    else:
        running.lie_manifest(better.manifest.body)
        running.lie_blob(BETTER, get=endless)
    await refused(running, "endless")
    running.push(better)
    assert await running.is_well(BETTER)


SLOW_ANSWERS: Mapping[str, Behaviour] = {
    "a trickle": Slow(64, 0.05),
    "silence": Stalls(after=10),
    "a head in drops": Endless(b"HTTP/1.1 200 OK\r\nX: ", b"x", pause_seconds=0.05),
    "a break at each byte": BreaksEvery(1),
}


@pytest.mark.parametrize("slow", SLOW_ANSWERS)
@pytest.mark.parametrize("who", ["mirror", "facade"])
async def test_answers_that_take_for_ever(running: SignedFleet, who: str, slow: str) -> None:
    """A peer that sends a little now and then holds the device up no longer than a dead one."""
    running.release(model_of(BETTER))
    running.device.limits = {
        **running.device.limits,
        "window_seconds": 0.2,
        "head_seconds": 0.4,
    }
    if who == "mirror":
        running.mirror.lies["timestamp.json"] = SLOW_ANSWERS[slow]
    else:
        running.lie_blob(BETTER, get=SLOW_ANSWERS[slow])
    words = ("slow", "no answer came", "given up", "broke", "its rest was asked for")

    async def is_refused_for_it() -> bool:
        """On a busy machine a handshake may take as long, before anything is answered."""
        return "handshake" not in await refused(running, *words, "handshake")

    await eventually(is_refused_for_it)
    running.device.limits = {**running.device.limits, "window_seconds": 20.0, "head_seconds": 20.0}
    assert await running.is_well(BETTER)


# --- Extraneous dependencies.


async def test_nothing_is_fetched_that_the_signed_manifest_does_not_name(
    running: SignedFleet,
) -> None:
    """Neither by a redirect, nor by a descriptor's `urls`, nor in another manifest."""
    better = model_of(BETTER)
    async with StoreSimulator() as elsewhere:
        evil = elsewhere.put(EVIL)
        tempting = orjson.loads(better.manifest.body)
        tempting["layers"][0]["urls"] = [evil]
        tempting["subject"] = model_of(EVIL).manifest.descriptor
        body = orjson.dumps(tempting)
        running.release(evolve(better, manifest=Content(MANIFEST, body)))
        more = {**tempting, "layers": [*tempting["layers"], better.config.descriptor]}
        digest = Content(MANIFEST, body).digest
        running.lie_manifest(orjson.dumps(more), digest=digest)
        await refused(running, "endless")
        running.front.forget()
        running.lie_blob(BETTER, get=RedirectsTo(evil))
        await refused(running, "follows no redirect")
        running.mirror.lies["timestamp.json"] = RedirectsTo(evil)
        await refused(running, "follows no redirect")
        assert await running.is_well(BETTER)
        assert elsewhere.requests == []


# --- Mix and match.


async def test_files_of_two_states_of_the_repository(running: SignedFleet) -> None:
    """Each was signed, and they were never meant to stand together."""
    files = running.repository.files
    old = files.content(FLEET, 2)
    everybody_has(running, model_of(GOOD))
    running.release(model_of(BETTER))
    running.mirror.others[f"3.{FLEET}.json"] = old
    await refused(running, "mixed", "rolled back")
    assert await running.is_well(BETTER)


@pytest.mark.parametrize("swapped", ["layer", "config", "manifest"])
async def test_content_of_two_releases(running: SignedFleet, swapped: str) -> None:
    """A facade that serves a part of one release under the digest of another."""
    good, better = model_of(GOOD), model_of(BETTER)
    running.release(better)
    match swapped:
        case "layer":
            running.lie_blob(GOOD, digest=better.layers[0].digest)
        case "config":
            running.lie_blob(b"[]", digest=better.config.digest)
            shutil.rmtree(running.device.state / "store" / "blobs")
            (running.device.state / "store" / "blobs" / "sha256").mkdir(parents=True)
        case _:
            running.lie_manifest(good.manifest.body, digest=better.digest)
    done = await running.device.update()
    assert done.status != 0
    assert running.device.holds == GOOD
    assert await running.is_well(BETTER)


@pytest.mark.parametrize("lie", ["of another release", "of another machine", "longer"])
async def test_another_manifest_than_an_index_names(running: SignedFleet, lie: str) -> None:
    """Only the index is signed; the manifest that it names for this device is held against it."""
    index = index_of(BETTER)
    running.release(index)
    other, this = index.images
    everybody_has(running, model_of(EVIL))
    contents = {
        "of another release": model_of(GOOD).manifest.body,
        "of another machine": other.manifest.body,
        "longer": this.manifest.body + b" ",
    }
    running.lie_manifest(contents[lie], digest=this.digest)
    await refused(running, "other bytes", "endless", "broke", "given up")
    assert await running.is_well(BETTER)


async def test_an_index_without_this_device(running: SignedFleet) -> None:
    """The fleet has signed it, and it names other machines alone: none of them is near enough."""
    running.release(make_index([evolve(model_of(EVIL), architecture="s390x")]))
    await refused(running, "nothing for linux/")
    running.release(model_of(BETTER))
    assert await running.is_well(BETTER)


# --- Wrong software.


async def test_software_of_another_fleet(running: SignedFleet) -> None:
    """The other fleet's keys are good ones, and count for its own names alone."""
    others = FleetKeys.make("line-b")
    running.repository.set_keys("line-b", others.role_keys("line-b"))
    signers = {**running.keys.signers, "line-b": others.signers["line-b"]}
    running.keys = evolve(running.keys, signers=signers)
    evil = model_of(EVIL)
    everybody_has(running, evil)
    target: dict[str, Any] = {
        "repository": running.path,
        "manifest": evil.manifest.body,
        "media_type": MANIFEST,
    }
    running.repository.assign("line-b", target_of(FLEET, "model", device="press-7", **target))
    running.keys.sign_all(running.repository)
    done = await running.device.update()
    assert (done.status, running.device.holds) == (0, GOOD)
    assert "line-b.json" not in {p.name for p in (running.device.state / "metadata").iterdir()}


WRONG_SOFTWARE: Mapping[str, Callable[[], Image]] = {
    "an image for a model's slot": lambda: make_image({"bin/x": b"x"}),
    "a model of two files": lambda: _two_layers(model_of(EVIL)),
    "an index": lambda: evolve(model_of(EVIL), manifest=_index()),
}


def _two_layers(model: Image) -> Image:
    manifest = orjson.loads(model.manifest.body)
    manifest["layers"] *= 2
    return evolve(model, manifest=Content(MANIFEST, orjson.dumps(manifest)))


def _index() -> Content:
    return Content(MANIFEST, orjson.dumps({"schemaVersion": 2, "manifests": [], "layers": [1]}))


@pytest.mark.parametrize("kind", WRONG_SOFTWARE)
async def test_software_that_does_not_fit_the_slot(running: SignedFleet, kind: str) -> None:
    """The fleet itself has signed it, by mistake."""
    running.release(WRONG_SOFTWARE[kind]())
    await refused(running, "a model is one layer", "container's image", "answers 502")
    running.release(model_of(BETTER))
    assert await running.is_well(BETTER)


async def test_content_of_another_type(running: SignedFleet) -> None:
    """The facade calls the right bytes something else."""
    better = model_of(BETTER)
    running.release(better)
    running.lie_manifest(
        better.manifest.body, get=TypedAs(("application/vnd.oci.image.index.v1+json",))
    )
    await refused(running, "was signed")
    assert await running.is_well(BETTER)


# --- A malicious mirror.

NONSENSE: Mapping[str, Behaviour] = {
    "a web page": WebPage(),
    "nothing": Answers(404),
    "a refusal": Answers(500, body=b"\x1b[31mowned\x1b[0m" + b"x" * 100_000),
    "no HTTP": RawBytes(b"\x00\xff" * 1000),
    "deep JSON": Answers(200, body=b"[" * 15_000),
    "a long number": Answers(200, body=b'{"signed":' + b"9" * 10_000 + b"}"),
    "half a file": FewerBytes(missing=100),
}


@pytest.mark.parametrize("kind", NONSENSE)
async def test_a_mirror_that_answers_nonsense(running: SignedFleet, kind: str) -> None:
    """It is said in one line without its control characters, and changes nothing."""
    running.release(model_of(BETTER))
    running.mirror.lies["timestamp.json"] = NONSENSE[kind]
    problem = await refused(running, "mirror", "localhost")
    assert problem.isprintable()
    assert len(problem) < 500
    assert await running.is_well(BETTER)


# --- Stolen keys.


@pytest.mark.parametrize("role", [Root.type, Targets.type, FLEET, "online"])
async def test_one_key_less_than_the_threshold(running: SignedFleet, role: str) -> None:
    """Of this role one is missing; of every other one that is needed the thief has all."""
    keys, files = running.keys, running.repository.files
    one_less, all_of = running.keys.threshold - 1, running.keys.threshold
    match role:
        case Root.type:
            thief = Thief.of(files, **stolen(keys, Root.type, count=one_less))
            running.mirror.others.update(thief.forge_root())
        case "online":
            has = {**stolen(keys, *ONLINE, count=one_less), **stolen(keys, FLEET, count=all_of)}
            thief = Thief.of(files, **has)
            running.mirror.others.update(thief.forge_target("model", **evil_target(running)))
        case _:
            has = {**stolen(keys, FLEET, count=one_less), **stolen(keys, *ONLINE, count=3)}
            if role == Targets.type:
                has = {
                    **stolen(keys, Targets.type, count=one_less),
                    **stolen(keys, *ONLINE, count=3),
                }
            thief = Thief.of(files, **has)
            running.mirror.others.update(thief.forge_target("model", **evil_target(running)))
    await refused(running, "not signed by enough keys", "was signed by")
    running.repository.publish(keys.online)  # above the versions that the thief has signed
    running.release(model_of(BETTER))
    assert await running.is_well(BETTER)


async def test_every_online_key(running: SignedFleet) -> None:
    """Who has them all can hold a device up, and can neither make software nor bring back old."""
    running.release(model_of(BETTER))
    assert (await running.device.update()).status == 0
    running.release(model_of(GOOD))
    assert (await running.device.update()).status == 0
    thief = Thief.of(running.repository.files, **stolen(running.keys, *ONLINE, count=3))
    running.mirror.others.update(thief.forge_online(versions={FLEET: 3}))
    await refused(running, "rolled back")


async def test_a_stolen_key_is_taken_away_by_the_root(running: SignedFleet) -> None:
    """The thief had all online keys, and signed a version that nobody reaches again."""
    thief = Thief.of(running.repository.files, **stolen(running.keys, *ONLINE, count=3))
    for _ in range(3):
        running.mirror.others.update(thief.forge_online(versions={}))
    timestamp = running.mirror.others["timestamp.json"]
    assert timestamp
    assert (await running.device.update()).status == 0
    fresh = FleetKeys.make()
    for role in ONLINE:
        running.repository.set_keys(role, fresh.role_keys(role))
    running.keys = evolve(
        running.keys, signers={**running.keys.signers, **{r: fresh.signers[r] for r in ONLINE}}
    )
    running.release(model_of(BETTER))
    assert await running.is_well(BETTER)


# --- A partial bundle.


async def test_a_bundle_is_applied_whole_or_not_at_all(running: SignedFleet) -> None:
    """One of its artifacts is held back: by the registry, by the facade, and by the fleet."""
    second = running.device.folder / "models" / "second.onnx"
    running.device.slots = {
        **running.device.slots,
        "second": {"kind": "model", "path": str(second)},
    }
    running.release(model_of(BETTER))
    await refused(running, "incomplete")
    other = model_of(b"another model")
    running.release(other, "second")
    running.lie_blob(b"another model", get=Answers(404))
    await refused(running, "the facade answers 404")
    assert not second.exists()
    assert await running.is_well(BETTER)
    assert second.read_bytes() == b"another model"
