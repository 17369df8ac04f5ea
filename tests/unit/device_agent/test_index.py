"""An index names one manifest for a device, or is refused in words."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.dev.image import CONFIG, INDEX, MANIFEST, make_image, make_index
from device_agent.device_platform import Platform
from device_agent.errors import RefusedError
from device_agent.index import MAX_INDEX_ENTRIES, choose_manifest
from device_agent.manifest import MAX_MANIFEST_BYTES

IMAGES = {name: make_image({"x": name.encode()}, architecture=name) for name in ("amd64", "arm64")}
BOTH = make_index(list(IMAGES.values())).manifest.body
AMD64, ARM_V6, ARM_V7 = map(Platform.of_machine, ("x86_64", "armv6l", "armv7l"))
DIGEST = "sha256:" + "0" * 64


def entry(mark: int = 0, **said: Any) -> dict[str, Any]:
    """Return an entry for this platform; `mark` tells it from others."""
    digest = f"sha256:{mark:064x}"
    platform = {"os": "linux", "architecture": "amd64", **said}
    return {"mediaType": MANIFEST, "digest": digest, "size": 7, "platform": platform}


def index_of(*entries: Any, **fields: Any) -> bytes:
    """Return an index of these entries."""
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries, **fields}
    return json.dumps(document).encode()


@pytest.mark.parametrize("machine, name", [("x86_64", "amd64"), ("aarch64", "arm64")])
def test_a_device_takes_the_manifest_of_its_platform(machine: str, name: str) -> None:
    """Whatever stands first."""
    chosen = choose_manifest(BOTH, INDEX, Platform.of_machine(machine))
    assert chosen.digest == IMAGES[name].digest
    assert chosen.size == len(IMAGES[name].manifest.body)


@pytest.mark.parametrize("machine", ["riscv64", "armv7l", "i686"])
def test_a_device_for_which_there_is_nothing_takes_nothing(machine: str) -> None:
    """Not the first, and not the nearest."""
    platform = Platform.of_machine(machine)
    with pytest.raises(RefusedError, match=f"nothing for {platform}"):
        choose_manifest(BOTH, INDEX, platform)


@pytest.mark.parametrize(
    "platform, variants, chosen",
    [
        (ARM_V7, ["v6", "v7", "v5"], "v7"),
        (ARM_V7, ["v5", "v6"], "v6"),
        (ARM_V7, ["v6", None], None),
        (ARM_V6, ["v7", "v5", "v6"], "v6"),
        (AMD64, ["v3", "v2", "v1"], "v1"),
        (AMD64, ["v1", None], None),
    ],
)
def test_the_best_variant_that_runs_is_taken(
    platform: Platform, variants: list[str | None], chosen: str | None
) -> None:
    """A device of the sixth generation runs nothing of the seventh."""
    entries = [
        entry(
            mark,
            architecture=platform.architecture,
            **({} if variant is None else {"variant": variant}),
        )
        for mark, variant in enumerate(variants)
    ]
    found = choose_manifest(index_of(*entries), INDEX, platform)
    assert found.digest == f"sha256:{variants.index(chosen):064x}"


def test_of_two_that_fit_the_first_counts() -> None:
    """As the specification has it."""
    index = index_of(entry(1, os="windows"), entry(2), entry(3))
    assert choose_manifest(index, INDEX, AMD64).digest == f"sha256:{2:064x}"


WRONG = {
    "no JSON": b"\xff",
    "another type": index_of(entry(), mediaType=MANIFEST),
    "another version": index_of(entry(), schemaVersion=1),
    "a manifest as well": index_of(entry(), layers=[]),
    "a config as well": index_of(entry(), config={}),
    "no list": index_of(manifests={"0": entry()}),
    "empty": index_of(),
    "too many": index_of(*[entry()] * (MAX_INDEX_ENTRIES + 1)),
    "an index in it": index_of({**entry(), "mediaType": INDEX}),
    "a config in it": index_of({**entry(), "mediaType": CONFIG}),
    "no digest": index_of({**entry(), "digest": "sha512:" + "0" * 128}),
    "a huge manifest": index_of({**entry(), "size": MAX_MANIFEST_BYTES + 1}),
    "a truth for a size": index_of({**entry(), "size": True}),
    "no platform": index_of({"mediaType": MANIFEST, "digest": DIGEST, "size": 7}),
    "a platform that is none": index_of({**entry(), "platform": "linux/amd64"}),
    "a variant that is none": index_of(entry(variant=["v1"])),
    "an unknown platform": index_of(entry(os="unknown", architecture="unknown")),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_index_is_refused(kind: str) -> None:
    """In words."""
    with pytest.raises(RefusedError):
        choose_manifest(WRONG[kind], INDEX, AMD64)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["linux", "amd64", MANIFEST]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["os", "architecture", "platform", "digest", "size"]), inner, max_size=4
        )
    ),
)


@given(st.binary(max_size=200) | st.lists(JSON, max_size=3).map(lambda each: index_of(*each)))
def test_whatever_comes_there_is_an_answer(content: bytes) -> None:
    """A manifest, or a refusal."""
    with contextlib.suppress(RefusedError):
        assert choose_manifest(content, INDEX, AMD64).size <= MAX_MANIFEST_BYTES
