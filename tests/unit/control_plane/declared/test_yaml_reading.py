"""YAML in the one meaning that it has in files of connections."""

import contextlib
import time

import orjson
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from control_plane.declared.file_problems import WrongFilesError
from control_plane.declared.source_files import read_json, read_source
from control_plane.declared.yaml_reading import FASTEST_LOADER, MAX_DEPTH, MAX_FILE_BYTES, read_yaml

CANARY = "canary-in-a-file"
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Zl", "Zp"]))
VALUES = st.recursive(
    st.none() | st.booleans() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


def read(text: str) -> object:
    """Return the one document's value."""
    (document,) = read_yaml("a.yaml", text.encode())
    return document.value


def problems(text: str | bytes, name: str = "a.yaml") -> list[str]:
    """Return what is wrong with a file."""
    with pytest.raises(WrongFilesError) as refused:
        read_source(name, text.encode() if isinstance(text, str) else text)
    assert CANARY not in str(refused.value)
    return [str(each) for each in refused.value.problems]


@pytest.mark.parametrize(
    "text", ["no", "on", "1.10", "007", "1:30", "2026-11-01", "0x10", "1_000", ".inf", "=", "<<"]
)
def test_what_other_readers_take_for_a_number_or_a_date_is_a_text(text: str) -> None:
    """A version 1.10 is not 1.1, and a user called `no` is not false."""
    assert read(f"a: {text}") == {"a": text}


def test_switches_and_nothing_are_as_in_json() -> None:
    """In quotes they are texts."""
    assert read("a: [true, False, null, ~, 'true', 'null', '']") == {
        "a": [True, False, None, None, "true", "null", ""]
    }
    assert read("a:\nb: x") == {"a": None, "b": "x"}


@pytest.mark.parametrize(
    "text, line, words",
    [
        ("a: 1\nb: &x 2", 2, "anchor"),
        ("a: &x 1\nb: *x", 2, "alias"),
        ("a: 1\nb: !!str 2", 2, "tag"),
        ("a: 1\nb: !!python/object/apply:os.system [x]", 2, "tag"),
        ("a: 1\nb: 2\na: 3", 3, "/a: given more than once"),
        ("a:\n  b: 1\n  b: 2", 3, "/a/b: given more than once"),
        ("a: [1\nb: 2", None, "no YAML"),
        ("? [a, b]\n: 1", 1, "a name has to be a text"),
        (f"a: {'[' * (MAX_DEPTH + 2)}", 1, "deeper"),
        (f"{CANARY}: '{CANARY}", None, "no YAML"),
    ],
)
def test_what_is_not_read_is_named_with_its_line(text: str, line: int | None, words: str) -> None:
    """Nothing of the file is quoted but the names of fields."""
    with pytest.raises(WrongFilesError) as refused:
        read_yaml("a.yaml", text.encode())
    found = str(refused.value)
    assert words in found
    if line is not None:
        assert f"a.yaml:{line}: " in found


def test_a_bomb_of_aliases_is_refused_at_once() -> None:
    """Nine lines of them would unfold into gigabytes."""
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi")]  # noqa: B905
    assert len(problems("\n".join(lines))) > 9


def test_what_is_too_long_or_no_text_is_refused() -> None:
    """Bounds come before the parser."""
    assert "longer" in problems(b"a: " + b"x" * MAX_FILE_BYTES)[0]
    assert "UTF-8" in problems(b"a: \xff")[0]
    assert "longer" in problems(b'{"a": "' + b"x" * MAX_FILE_BYTES + b'"}', "a.json")[0]
    assert "deeper" in problems('{"a": ' * 40 + "1" + "}" * 40, "a.json")[0]
    assert "more than once" in problems('{"a": {"b": 1, "b": 2}}', "a.json")[0]


def test_documents_of_one_file_are_several() -> None:
    """Empty ones do not count."""
    found = read_yaml("a.yaml", b"---\na: 1\n---\n---\nb: 2\n...\n")
    assert [document.value for document in found] == [{"a": "1"}, {"b": "2"}]


@given(VALUES)
def test_what_a_yaml_library_writes_is_read_as_it_was(value: object) -> None:
    """Whoever makes files by a program need not know of this reader."""
    text = yaml.safe_dump({"a": value}, allow_unicode=True)
    (document,) = read_yaml("a.yaml", text.encode())
    assert document.value == {"a": value}


@given(VALUES)
def test_json_is_read_as_json_whatever_it_is_called(value: object) -> None:
    """On standard input nothing says which of the two it is."""
    text = orjson.dumps({"a": value})
    (document,) = read_source("-", text)
    assert document.value == read_json("a.json", text).value == {"a": value}


@given(st.binary(max_size=300) | st.text("ab:-[]{}&*!#|>'\"\n ,?%@", max_size=200).map(str.encode))
def test_any_bytes_are_documents_or_refused_with_one_error(content: bytes) -> None:
    """No other error leaves the reader, and it takes no long time."""
    started = time.monotonic()
    for name in ("a.yaml", "a.json"):
        with contextlib.suppress(WrongFilesError):
            read_source(name, content)
    assert time.monotonic() - started < 30


def test_python_s_own_parser_reads_the_same() -> None:
    """Where PyYAML was built without libyaml."""
    text = b"a: [no, 1.10, 'x', true]\nb:\n  c: |\n    two\n    lines\n"
    assert FASTEST_LOADER is not yaml.SafeLoader
    assert read_yaml("a.yaml", text, yaml.SafeLoader) == read_yaml("a.yaml", text)
