"""What refers to a manifest: listed by digest where it is allowed, out of what could be proven."""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from urllib.parse import quote

import orjson
import pytest
from attrs import frozen

from deploy.dev.device_ca import IssuedCertificate
from facade.content.referrers import PAGE_REFERRERS, REMEMBERED_SECONDS
from facade.content.referrers_index import MAX_LISTED
from shared.oci import OCI_INDEX, Digest
from shared.upstream.referrers import referrers_tag
from tests.support.eventually import eventually
from tests.support.facade_process import Answer, Device, Facade
from tests.support.facade_states import CANARY_TOKEN, connect, pull_path, write_and_wait
from tests.support.forgotten import Forgotten
from tests.support.referrers import (
    SBOM,
    SIGNATURE,
    Attached,
    attached,
    digests_of,
    index_with,
    list_them,
    serve,
)
from tests.support.simulators.behaviour import (
    Answers,
    Behaviour,
    FewerBytes,
    OtherBytes,
    RawBytes,
    RedirectsTo,
    Stalls,
    WebPage,
)
from tests.support.simulators.registry import RegistrySimulator, StoreSimulator
from tests.support.simulators.wire import RecordedRequest
from tests.support.statement_writer import StatementWriter
from tests.system.facade.conftest import Served
from tests.system.facade.stores import store_settings
from tests.system.facade.test_store import without_id

TIMEOUT = "3s"


@pytest.fixture(scope="module")
def facade_settings(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """A facade that keeps what it fetches, and does not wait long for a registry."""
    return store_settings(tmp_path_factory.mktemp("cache")) | {"FACADE_UPSTREAM_TIMEOUT": TIMEOUT}


@frozen
class Listing:
    """A connected registry that may be asked what refers to a manifest, and a device that asks."""

    device: Device
    registry: RegistrySimulator
    subject: str

    def path(self, query: str = "") -> str:
        """Return where the list is."""
        return pull_path(self.registry, self.subject, kind="referrers") + query

    async def get(self, query: str = "") -> Answer:
        """Ask for the list."""
        return await self.device.get(self.path(query))

    async def digests(self, query: str = "") -> list[str]:
        """Return what is on the list."""
        answer = await self.get(query)
        assert answer.status == 200, answer.body
        return digests_of(answer.body)

    def attached(self, artifact_type: str | None = SIGNATURE, **fields: object) -> Attached:
        """Return a manifest of the test's own that refers to the subject."""
        return attached(self.subject, artifact_type, **fields)


@pytest.fixture
async def listing(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator, issued: IssuedCertificate
) -> Listing:
    """A registry whose referrers are listed."""
    await connect(facade, writer, upstream, referrers=True)
    subject = f"sha256:{secrets.token_hex(32)}"
    return Listing(facade.device(issued), upstream, subject)


def asked_of(registry: RegistrySimulator) -> list[RecordedRequest]:
    """Return the questions about content that bore the credential."""
    return [each for each in registry.pulls if each.header("Authorization")]


def test_what_is_asked_of_a_registry_is_what_the_specification_names() -> None:
    """A tag has 128 characters, and no colon."""
    assert referrers_tag(Digest("sha256", "a" * 64)) == "sha256-" + "a" * 64
    assert referrers_tag(Digest("sha512", "b" * 128)) == "sha512-" + "b" * 64


async def test_a_list_says_what_the_manifests_say_of_themselves(listing: Listing) -> None:
    """The registry's words of type, size and annotations are not read; no digest is claimed."""
    signature = listing.attached(annotations={"made": "today"})
    sbom = listing.attached(artifact_type=None, config={"mediaType": SBOM, "size": 2})
    index = listing.attached(
        artifact_type=None, config=None, layers=None, manifests=[], mediaType=OCI_INDEX
    )
    serve(listing.registry, (signature, sbom, index))
    lie = {"artifactType": "text/lie", "size": 1, "annotations": {"a": "lie"}, "urls": ["http://x"]}
    claims = [{**each.claimed, **lie} for each in (signature, sbom, index)]
    listing.registry.listing(listing.subject, index_with(claims))
    answer = await listing.get()
    found = orjson.loads(answer.body)
    assert (found["schemaVersion"], found["mediaType"]) == (2, OCI_INDEX)
    assert {each["digest"]: each for each in found["manifests"]} == {
        signature.digest: {
            **signature.claimed,
            "artifactType": SIGNATURE,
            "annotations": {"made": "today"},
        },
        sbom.digest: {**sbom.claimed, "artifactType": SBOM},
        index.digest: index.claimed,
    }
    assert answer.headers["Content-Type"] == OCI_INDEX
    assert answer.headers["Cache-Control"] == "no-store"
    for absent in ("Docker-Content-Digest", "ETag", "OCI-Filters-Applied", "Link", "Warning"):
        assert absent not in answer.headers
    head = await listing.device.get(listing.path(), method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Length"] == str(len(answer.body))
    same = await listing.device.get(
        listing.path(), If_None_Match=f'"{listing.subject}"', Range="bytes=0-1"
    )
    assert (same.status, same.body) == (200, answer.body)


async def test_a_list_is_filtered_by_type(listing: Listing) -> None:
    """And says so; a filter that cannot be read is not applied, and does not say so."""
    signature, sbom = listing.attached(), listing.attached(SBOM)
    list_them(listing.registry, listing.subject, [signature, sbom])
    answer = await listing.get(f"?artifactType={quote(SBOM, safe='')}")
    assert digests_of(answer.body) == [sbom.digest]
    assert answer.headers["OCI-Filters-Applied"] == "artifactType"
    assert await listing.digests(f"?ns=x&artifactType={SIGNATURE}") == [signature.digest]
    none = await listing.get("?artifactType=text/none")
    assert (none.status, digests_of(none.body)) == (200, [])
    assert none.headers["OCI-Filters-Applied"] == "artifactType"
    for unreadable in ("?artifactType=", f"?artifactType={'x' * 300}", "?artifacttype=a"):
        whole = await listing.get(unreadable)
        assert set(digests_of(whole.body)) == {signature.digest, sbom.digest}
        assert "OCI-Filters-Applied" not in whole.headers


@pytest.mark.parametrize("filtered", [False, True])
async def test_a_long_list_has_pages(listing: Listing, *, filtered: bool) -> None:
    """Each with the manifests that one request may fetch, and a link to the next one."""
    many = [listing.attached(annotations={"n": str(n)}) for n in range(2 * PAGE_REFERRERS + 3)]
    serve(listing.registry, many)
    entries = [each.claimed for each in many]
    second = listing.registry.listing(listing.subject, index_with(entries[50:]), page="/2")
    headers = (("Content-Type", OCI_INDEX), ("Link", f'<{second}>; rel="next"'))
    first = Answers(200, headers, index_with(entries[:50]))
    listing.registry.listing(listing.subject, b"", get=first)
    query = f"?artifactType={quote(SIGNATURE, safe='')}" if filtered else ""
    target, pages, found = listing.path(query), 0, list[str]()
    forgotten = Forgotten.after(REMEMBERED_SECONDS)
    while target:
        asked = len(asked_of(listing.registry))
        answer = await listing.device.get(target)
        pages += 1
        found += digests_of(answer.body)
        assert len(asked_of(listing.registry)) - asked <= PAGE_REFERRERS + 2
        link = answer.headers.get("Link", "")
        assert link.endswith('; rel="next"') == bool(link)
        target = link.partition(">")[0].removeprefix("<")
    assert pages == 3
    assert sorted(found) == sorted(each.digest for each in many)
    lists = [each for each in asked_of(listing.registry) if "/referrers/" in each.path]
    assert 2 <= len(lists) <= 2 * (1 + forgotten.times)
    wrong = await listing.get("?last=latest")
    assert (wrong.status, orjson.loads(wrong.body)["errors"][0]["code"]) == (400, "DIGEST_INVALID")


@pytest.mark.parametrize("status", [400, 404, 405, 406, 410, 501])
async def test_a_registry_without_the_route_has_a_tag(listing: Listing, status: int) -> None:
    """As clients write it where they find no route."""
    signature = listing.attached()
    serve(listing.registry, [signature])
    tag = referrers_tag(Digest.parse(listing.subject))
    listing.registry.manifest(index_with([signature.claimed]), media_type=OCI_INDEX, digest=tag)
    listing.registry.listing(listing.subject, b"", get=Answers(status))
    assert await listing.digests() == [signature.digest]


@pytest.mark.parametrize(
    "unknown",
    [None, WebPage(), Answers(200, (("Content-Type", "application/json"),), b'{"errors":[]}')],
    ids=["404", "web page", "JSON"],
)
async def test_without_referrers_a_list_is_empty(
    listing: Listing, unknown: Behaviour | None
) -> None:
    """By the registry's own word alone: its list is empty, or there is neither route nor tag."""
    if unknown is not None:
        listing.registry.listing(listing.subject, b"", get=unknown)
    answer = await listing.get()
    assert (answer.status, digests_of(answer.body)) == (200, [])
    assert answer.headers["Content-Type"] == OCI_INDEX


@pytest.mark.parametrize("empty", [index_with([]), b'{"schemaVersion":2,"manifests":null}'])
async def test_an_empty_list_is_empty(listing: Listing, empty: bytes) -> None:
    """The tag is not asked for then."""
    listing.registry.listing(listing.subject, empty)
    assert await listing.digests() == []
    assert {each.path.split("/")[-2] for each in listing.registry.pulls} == {"referrers"}


AWAY: dict[str, tuple[Behaviour, int]] = {
    "500": (Answers(500), 503),
    "503": (Answers(503, (("Retry-After", "7"),)), 503),
    "429": (Answers(429), 429),
    "401": (Answers(401), 502),
    "403": (Answers(403), 502),
    "418": (Answers(418), 502),
    "silent": (Stalls(), 504),
    "closes": (RawBytes(b""), 503),
    "breaks off": (FewerBytes(), 502),
    "stops": (Stalls(after=3), 504),
    "no HTTP": (RawBytes(b"SSH-2.0-x\r\n"), 502),
}


@pytest.mark.parametrize("where", ["route", "tag", "manifest"])
async def test_what_cannot_be_had_is_never_an_empty_list(
    facade: Facade, writer: StatementWriter, where: str
) -> None:
    """It would read as "unsigned"."""

    async def answer_to(behaviour: Behaviour) -> Answer:
        async with RegistrySimulator() as registry:
            await connect(facade, writer, registry, referrers=True)
            listing = Listing(facade.device(), registry, f"sha256:{secrets.token_hex(32)}")
            signature = listing.attached()
            listed = index_with([signature.claimed])
            serve(registry, [signature], get=behaviour if where == "manifest" else None)
            if where == "tag":
                tag = referrers_tag(Digest.parse(listing.subject))
                registry.manifest(listed, media_type=OCI_INDEX, digest=tag, get=behaviour)
            else:
                of_route = behaviour if where == "route" else None
                registry.listing(listing.subject, listed, get=of_route)
            return await listing.get()

    answers = await asyncio.gather(*(answer_to(behaviour) for behaviour, _ in AWAY.values()))
    assert dict(zip(AWAY, (each.status for each in answers), strict=True)) == {
        how: status for how, (_, status) in AWAY.items()
    }
    for answer in answers:
        assert b"upstream text" not in answer.body
        assert CANARY_TOKEN.encode() not in answer.body


async def test_a_registry_that_is_not_there_is_away(
    facade: Facade, writer: StatementWriter, issued: IssuedCertificate
) -> None:
    """503, with a time to come again."""
    async with RegistrySimulator() as registry:
        await connect(facade, writer, registry, referrers=True)
        path = pull_path(registry, f"sha256:{'0' * 64}", kind="referrers")
    answer = await facade.device(issued).get(path)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")


async def test_a_liar_puts_nothing_on_the_list(listing: Listing) -> None:
    """Foreign subjects, what is missing, no digests, other bytes, other types: all left out."""
    good = listing.attached(annotations={"good": "1"})
    foreign = attached(f"sha256:{'f' * 64}")
    without = listing.attached(subject=None)
    named = Attached(good.content.replace(b'"subject"', b'"Subject"'))
    twice = Attached(good.content[:-1] + b',"subject":{"digest":"sha256:%b"}}' % (b"e" * 64))
    wrong_type = listing.attached(annotations={"a": 1})
    lies = Attached(b'{"schemaVersion":2,"config":{},"layers":[],"n":1}')
    untyped = Attached(listing.attached(mediaType=None).content, "text/plain")
    missing = listing.attached(annotations={"missing": "1"})
    serve(listing.registry, [good, foreign, without, named, twice, wrong_type, untyped])
    listing.registry.manifest(lies.content, get=OtherBytes())
    entries: list[object] = [
        *(each.claimed for each in (foreign, without, named, twice, wrong_type, lies)),
        *(each.claimed for each in (untyped, missing, good, good)),
        {"digest": "sha256:short"}, {"digest": 7}, {}, None, [], "x", {"digest": listing.subject},
    ]  # fmt: skip
    listing.registry.listing(listing.subject, index_with(entries))
    assert await listing.digests() == [good.digest]
    (line,) = listing.device.facade.log_lines(event="answered", digest=listing.subject)
    assert (line["kind"], line["source"], line["status"]) == ("referrers", "upstream", 200)
    assert line["reason"] == (
        "left out of the registry's list: 2 missing, 3 other_subject, 8 unreadable, 2 wrong_bytes"
    )


async def test_what_could_not_be_proven_is_no_empty_list(listing: Listing) -> None:
    """A registry that lists a signature and gives other bytes does not make an image unsigned."""
    signature, sbom = listing.attached(), listing.attached(SBOM)
    listing.registry.manifest(signature.content, get=OtherBytes())
    serve(listing.registry, [sbom])
    entries = [signature.claimed, sbom.claimed]
    listing.registry.listing(listing.subject, index_with(entries))
    whole = await listing.get()
    assert digests_of(whole.body) == [sbom.digest]
    assert whole.headers["Warning"].startswith('299 - "not proven, and so not listed: 1 of')
    answer = await listing.get(f"?artifactType={SIGNATURE}")
    assert without_id(answer) == (
        502, "UNAVAILABLE", "the registry lists referrers, but none of them could be proven",
    )  # fmt: skip


ENDLESS: dict[str, Callable[[str], str]] = {
    "itself": lambda path: f"<{path}>",
    "a circle": lambda path: f"<{path}/2>",
    "another host": lambda _: "<https://evil.example/next>",
    "another port": lambda path: f"<http://127.0.0.1:9{path}>",
    "unreadable": lambda _: "<",
    "two": lambda path: f'<{path}/2>; rel="next", <{path}/3>',
    "missing": lambda path: f"<{path}/404>",
    "no list": lambda path: f"<{path}/none>",
}


@pytest.mark.parametrize("link", ENDLESS)
async def test_a_list_without_an_end_is_none(listing: Listing, link: str) -> None:
    """It ends after few questions, and nobody takes its beginning for the whole."""
    signature = listing.attached()
    serve(listing.registry, [signature])
    body, path = index_with([signature.claimed]), listing.path().partition("/team/")[2]
    path = f"/v2/team/{path}"
    headers = (("Content-Type", OCI_INDEX), ("Link", f'{ENDLESS[link](path)}; rel="next"'))
    for page in ("", "/2", "/3"):
        listing.registry.listing(listing.subject, b"", page=page, get=Answers(200, headers, body))
    listing.registry.listing(listing.subject, b"{}", page="/none")
    answer = await listing.get()
    assert answer.status == 502
    assert len(asked_of(listing.registry)) <= 4


async def test_a_list_is_not_followed_to_a_store(listing: Listing) -> None:
    """The registry may redirect; a next page there would be shown the credential."""
    signature = listing.attached()
    serve(listing.registry, [signature])
    body = index_with([signature.claimed])
    async with StoreSimulator() as store:
        whole = RedirectsTo(store.put(body))
        listing.registry.listing(listing.subject, b"", get=whole)
        assert await listing.digests() == [signature.digest]
        paged = Answers(200, (("Content-Type", OCI_INDEX), ("Link", '</next>; rel="next"')), body)
        other = Listing(listing.device, listing.registry, f"sha256:{secrets.token_hex(32)}")
        listing.registry.listing(
            other.subject, b"", get=RedirectsTo(store.put(body + b" ", get=paged))
        )
        assert (await other.get()).status == 502


@pytest.mark.parametrize("where", ["route", "tag"])
async def test_a_huge_list_is_refused(listing: Listing, where: str) -> None:
    """As one that has more entries than may be listed, or more bytes than a manifest."""
    digests = [{"digest": f"sha256:{number:064x}"} for number in range(MAX_LISTED + 1)]
    many, long = index_with(digests), index_with([{"digest": "x" * (5 << 20)}])
    for body in (many, long):
        subject = f"sha256:{secrets.token_hex(32)}"
        if where == "route":
            listing.registry.listing(subject, body)
        else:
            tag = referrers_tag(Digest.parse(subject))
            listing.registry.manifest(body, media_type=OCI_INDEX, digest=tag)
        answer = await Listing(listing.device, listing.registry, subject).get()
        assert answer.status == 502
    assert len(asked_of(listing.registry)) <= 4


async def test_where_it_is_off_there_is_no_such_route(
    facade: Facade, served: Served, issued: IssuedCertificate
) -> None:
    """As before; the registry is not asked."""
    signature = attached(served.digest)
    list_them(served.upstream, served.digest, [signature])
    path = pull_path(served.upstream, served.digest, kind="referrers")
    device = facade.device(issued)
    off = await device.get(path)
    other_route = await device.get(path.replace("/referrers/", "/nothing/"))
    assert without_id(off) == without_id(other_route)
    assert off.status == 404
    assert served.upstream.pulls == []


async def test_the_gate_is_asked_as_for_any_pull(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """Fleets, repositories, hosts, revocations: with the same bytes as for a manifest."""
    subject = f"sha256:{secrets.token_hex(32)}"
    signature = attached(subject)
    list_them(upstream, subject, [signature])
    approval = await connect(
        facade, writer, upstream, referrers=True, fleets=("line-a",), repositories=()
    )
    path = pull_path(upstream, subject, kind="referrers")
    allowed, other = (
        facade.device(),
        facade.device(facade.files.device_ca.issue_device(fleet="line-b")),
    )
    assert (await allowed.get(path)).status == 200
    refused = without_id(await other.get(path))
    assert refused == without_id(await other.get(path.replace("referrers", "manifests")))
    assert refused[:2] == (404, "NAME_UNKNOWN")
    unconnected = path.replace(upstream.host.path_form, "nowhere.example")
    assert without_id(await allowed.get(unconnected)) == refused
    assert (await allowed.get(path, method="DELETE")).status == 405
    revoked = "spiffe://example.com/fleet/line-b/device/press-7"
    await write_and_wait(facade, writer, writer.device_revocation(revoked))
    assert (await other.get(path)).status == 403
    asked = len(upstream.pulls)
    await write_and_wait(facade, writer, writer.revocation(approval.connection_id))
    assert without_id(await allowed.get(path)) == refused, "what is remembered is not given either"
    assert len(upstream.pulls) == asked


async def test_a_list_gives_no_right_to_anybody_else(
    facade: Facade,
    writer: StatementWriter,
    listing: Listing,
    bystander: RegistrySimulator,
) -> None:
    """A manifest that was fetched for a list does not exist through another connection."""
    signature = listing.attached()
    list_them(listing.registry, listing.subject, [signature])
    assert await listing.digests() == [signature.digest]
    await connect(facade, writer, bystander, referrers=True)
    elsewhere = Listing(listing.device, bystander, listing.subject)
    assert await elsewhere.digests() == []
    bystander.listing(listing.subject, index_with([signature.claimed]))
    other_subject = f"sha256:{secrets.token_hex(32)}"
    bystander.listing(other_subject, index_with([signature.claimed]))
    assert await Listing(listing.device, bystander, other_subject).digests() == []
    stolen = await listing.device.get(pull_path(bystander, signature.digest, kind="manifests"))
    assert stolen.status == 404
    beside = pull_path(listing.registry, signature.digest, kind="manifests", repository="team/b")
    assert (await listing.device.get(beside)).status == 404, "another repository has no right"
    asked = len(listing.registry.pulls)
    own = await listing.device.get(pull_path(listing.registry, signature.digest, kind="manifests"))
    assert (own.status, own.body, len(listing.registry.pulls)) == (200, signature.content, asked)


async def test_a_fleet_that_asks_at_once_is_one_list(facade: Facade, listing: Listing) -> None:
    """Built once for all who wait, and then remembered for a while."""
    signatures = [listing.attached(annotations={"n": str(n)}) for n in range(3)]
    list_them(listing.registry, listing.subject, signatures)
    fleet = [Listing(facade.device(), listing.registry, listing.subject) for _ in range(12)]
    found = await asyncio.gather(*(each.digests() for each in fleet))
    assert {tuple(each) for each in found} == {tuple(sorted(s.digest for s in signatures))}
    assert len(asked_of(listing.registry)) == 4
    assert await listing.digests() == found[0]
    assert len(asked_of(listing.registry)) == 4


async def test_it_is_counted_as_any_pull(facade: Facade, listing: Listing) -> None:
    """By how it ended and where it came from; what was left out, by why."""

    def count(line: str) -> float:
        found = [
            each
            for each in facade.operations("/metrics")[1].splitlines()
            if each.startswith(line + " ")
        ]
        return float(found[0].rpartition(" ")[2]) if found else 0.0

    served = 'facade_pulls_total{kind="referrers",outcome="served",source="upstream"}'
    left_out = 'facade_referrers_left_out_total{why="other_subject"}'
    before = count(served), count(left_out)
    foreign = attached(f"sha256:{'f' * 64}", annotations={"of": listing.subject})
    list_them(listing.registry, listing.subject, [foreign])
    assert await listing.digests() == []
    await eventually(lambda: (count(served), count(left_out)) == (before[0] + 1, before[1] + 1))
