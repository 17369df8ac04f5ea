"""YAML as JSON has it, or one error that quotes nothing."""

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from shared.plain_yaml import PlainYamlError, read_plain_yaml


def read(content: bytes, *, max_bytes: int = 1000, max_depth: int = 4) -> object:
    """Return what a file of some bound holds."""
    return read_plain_yaml(content, max_bytes=max_bytes, max_depth=max_depth)


@pytest.mark.parametrize(
    "content, why",
    [
        (b"a: &x\n  - *x\n", "anchor or an alias"),
        (b"a: &x 1\n", "anchor or an alias"),
        (b'{"a": 1, "a": 2}', "more than once"),
        (b"- [[[[1]]]]\n", "nested too deep"),
        (b"a: [\n", "neither YAML nor JSON in UTF-8: see line 2"),
        (b"\xff\xfe", "neither YAML nor JSON"),
        (b"a: !!python/name:os.system\n", "neither YAML nor JSON"),
        (b"a: 1\n---\nb: 2\n", "neither YAML nor JSON"),
        (b"canary: [" + b"1, " * 400 + b"1]", "longer than 1000 bytes"),
    ],
)
def test_what_is_not_plain_is_refused(content: bytes, why: str) -> None:
    """Nothing of the file is quoted."""
    with pytest.raises(PlainYamlError, match=why) as refused:
        read(content)
    assert "canary" not in str(refused.value)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.one_of(st.binary(max_size=80), plain.map(lambda value: json.dumps(value).encode())))
def test_any_bytes_are_what_a_safe_loader_reads_or_refused(content: bytes) -> None:
    """What is read is what everybody else reads in it."""
    try:
        found = read(content, max_depth=20)
    except PlainYamlError:
        return
    assert found == yaml.safe_load(content.decode())
