"""A registry's list is read for its digests alone, and ours is an index that anybody can read."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facade.content.json_fields import MAX_CONTAINERS
from facade.content.manifest import VerifiedManifest
from facade.content.referrer import Referrer, referrer_of
from facade.content.referrers_index import MAX_LISTED, ListedDigests, index_of, read_listed
from shared.oci import OCI_INDEX, OCI_MANIFEST, Digest
from tests.support.referrers import attached, index_with
from tests.unit.facade.content.test_json_fields import JSON

digests = st.binary(max_size=2).map(Digest.of)
entries = (
    st.fixed_dictionaries({"digest": digests.map(str) | JSON}, optional={"size": JSON, "x": JSON})
    | JSON
)


@given(listed=st.lists(entries, max_size=12))
def test_every_digest_is_read_once_and_nothing_else(listed: list[Any]) -> None:
    """In the registry's order; what names none is counted."""
    try:
        document = {"schemaVersion": 2, "manifests": listed}
        body = json.dumps(document, allow_nan=False).encode()
    except ValueError:
        return  # JSON has no such number
    named = [each["digest"] for each in listed if isinstance(each, dict) and _is_digest(each)]
    found = read_listed(body)
    assert found is not None
    assert [str(each) for each in found.digests] == list(dict.fromkeys(named))
    assert found.unreadable == len(listed) - len(named)


def _is_digest(entry: dict[str, Any]) -> bool:
    text = entry.get("digest")
    return isinstance(text, str) and text.startswith("sha256:") and len(text) == 71


@given(body=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_list_or_none(body: bytes) -> None:
    """Nothing is raised."""
    found = read_listed(body)
    assert found is None or isinstance(found, ListedDigests)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"manifests":{}}',
        b'{"manifests":7}',
        b'{"manifests":[],"manifests":[]}',
        b'{"errors":[]}',
        b'{"manifests":[{}}',
        b'{"manifests":[{} {}]}',
        b'{"manifests":[{},]}',
        b"<html>",
        index_with([{}] * (MAX_CONTAINERS + 1)),
        b'{"manifests":' + b"[" * 2000 + b"]" * 2000 + b"}",
    ],
    ids=lambda body: body[:20].decode(),
)
def test_what_is_no_index_is_none(body: bytes) -> None:
    """Nor is one with more in it than a manifest may have."""
    assert read_listed(body) is None


def test_a_list_is_read_up_to_its_bound() -> None:
    """What has more entries is cut there, and says so."""
    entries = [{"digest": f"sha256:{n:064x}"} for n in range(MAX_LISTED + 1)]
    whole, cut = read_listed(index_with(entries[:-1])), read_listed(index_with(entries))
    assert whole is not None
    assert (len(whole.digests), whole.is_cut) == (MAX_LISTED, False)
    assert cut is not None
    assert cut.is_cut
    many = read_listed(b'{"manifests":[%b1]}' % (b"1," * 2_000_000))
    assert many is not None
    assert (many.digests, many.is_cut) == ((), True)


def test_no_entries_are_an_empty_list() -> None:
    """Go writes null for none."""
    for entries in (b"[]", b"null"):
        assert read_listed(b'{"manifests":%b}' % entries) == ListedDigests(())


@given(count=st.integers(min_value=0, max_value=4))
def test_our_list_is_an_image_index(count: int) -> None:
    """With the descriptors in their order."""
    subject = Digest.of(b"")
    contents = [attached(str(subject), annotations={"n": f'"{n}\\'}).content for n in range(count)]
    referrers = [
        referrer_of(Digest.of(each), VerifiedManifest(each, OCI_MANIFEST), subject)
        for each in contents
    ]
    index = orjson.loads(index_of(each for each in referrers if isinstance(each, Referrer)))
    assert (index["schemaVersion"], index["mediaType"]) == (2, OCI_INDEX)
    assert [each["digest"] for each in index["manifests"]] == [
        str(Digest.of(each)) for each in contents
    ]
