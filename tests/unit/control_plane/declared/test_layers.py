"""Files beside one another, and upon one another."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.declared.file_problems import WrongFilesError, nearest_place
from control_plane.declared.layers import Layer, layer_of, merged, overlaid
from control_plane.declared.source_files import read_source

VALUES = st.recursive(
    st.none() | st.booleans() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(max_size=2), VALUES, max_size=4)


def layer(*texts: str, name: str = "folder") -> Layer:
    """Return the layer of files with these texts."""
    documents = [
        part
        for at, text in enumerate(texts)
        for part in read_source(f"{name}/{at}.yaml", text.encode())
    ]
    return layer_of(name, documents)


# RFC 7396, appendix A, of what is an object.
@pytest.mark.parametrize(
    "target, patch, result",
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_layers_are_merge_patches(target: object, patch: dict[str, object], result: object) -> None:
    """The examples of the specification."""
    assert merged(target, patch) == result


@settings(max_examples=40)
@given(OBJECTS, OBJECTS)
def test_a_patch_laid_over_twice_changes_nothing_more(
    target: dict[str, object], patch: dict[str, object]
) -> None:
    """And neither the target nor the patch is changed by it."""
    before = repr((target, patch))
    once = merged(merged({}, target), patch)
    assert merged(once, patch) == once
    assert repr((target, patch)) == before


def test_a_name_stands_once_in_a_folder_and_again_in_an_overlay() -> None:
    """In which order files of a folder are read would else decide what holds."""
    one, other = "connections: {a: {host: a.example}}", "connections: {a: {host: b.example}}"
    with pytest.raises(WrongFilesError, match=r"folder/1.yaml:1: /connections/a: another document"):
        layer(one, other)
    both = overlaid([layer(one), layer(other, name="over")])
    assert both.value == {"connections": {"a": {"host": "b.example"}}}
    way = ("connections", "a", "host")
    assert str(nearest_place(both.places, way)) == "over/0.yaml:1"
    assert str(nearest_place(both.places, (*way, "inner"))) == "over/0.yaml:1"


def test_files_of_a_folder_are_put_together() -> None:
    """The set's name may stand in one or in all."""
    together = layer("set: a\nconnections: {x: {}}", "set: a", "connections: {y: {}}")
    assert together.value == {"set": "a", "connections": {"x": {}, "y": {}}}
    with pytest.raises(WrongFilesError, match=r"/set: another document"):
        layer("set: a", "set: b")


def test_a_list_is_no_layer() -> None:
    """Nor is a text."""
    with pytest.raises(WrongFilesError, match="expected a mapping"):
        layer("- a")
