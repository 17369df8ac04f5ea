"""A command writes, knows again and removes its own files, and never another's."""

import json
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facade.commands.client_files import ClientFile
from facade.commands.written_files import (
    RECORDS,
    Fate,
    ForeignFileError,
    WrittenFiles,
    parse_record,
)

PLACES = [PurePosixPath(f"/etc/certs.d/{host}/{name}") for host in "ab" for name in "xy"]
RECORD = RECORDS / "podman.json"


def below(root: Path, path: PurePosixPath) -> Path:
    """Return where a path is below a root."""
    return root / path.relative_to("/")


def tree(root: Path) -> dict[str, str]:
    """Return everything below a root, but for the record."""
    found = (each for each in root.rglob("*") if each.is_symlink() or each.is_file())
    return {
        f"/{each.relative_to(root)}": f"-> {each.readlink()}"
        if each.is_symlink()
        else each.read_text()
        for each in found
        if RECORDS.name not in each.parts
    }


def file(place: PurePosixPath, text: str) -> ClientFile:
    """Return a file with a text, or a link to what begins with a slash."""
    if text.startswith("/"):
        return ClientFile(place, link_to=PurePosixPath(text))
    return ClientFile(place, text.encode())


def test_what_was_written_is_removed_without_a_trace(tmp_path: Path) -> None:
    """Files, links, the folders of hosts and the record; a second removal finds nothing."""
    written = WrittenFiles(tmp_path, "podman")
    files = [file(PLACES[0], "text"), file(PLACES[1], "/etc/device/ca.crt")]
    assert set(written.write(files).values()) == {Fate.WRITTEN}
    assert tree(tmp_path) == {str(PLACES[0]): "text", str(PLACES[1]): "-> /etc/device/ca.crt"}
    assert set(written.write(files).values()) == {Fate.UNCHANGED}
    assert set(written.remove().values()) == {Fate.REMOVED}
    assert tree(tmp_path) == {}
    assert not below(tmp_path, PLACES[0]).parent.exists()
    assert not below(tmp_path, RECORD).exists()
    assert written.remove() == {}


def test_a_key_is_never_readable_by_others(tmp_path: Path) -> None:
    """Not even before it has its name."""
    path = PurePosixPath("/root/.regctl/config.json")
    WrittenFiles(tmp_path, "regctl").write([ClientFile(path, b"key", mode=0o600)])
    assert below(tmp_path, path).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kind", ["text", "link", "folder", "fifo"])
def test_what_another_wrote_is_not_touched_and_nothing_else_is_written(
    tmp_path: Path, kind: str
) -> None:
    """Whatever it is; what was ours and was edited since is another's, too."""
    theirs = below(tmp_path, PLACES[1])
    theirs.parent.mkdir(parents=True)
    match kind:
        case "text":
            theirs.write_text("theirs")
        case "link":
            theirs.symlink_to("/elsewhere")
        case "folder":
            theirs.mkdir()
        case _:
            os.mkfifo(theirs)
    before = theirs.lstat()
    written = WrittenFiles(tmp_path, "podman")
    with pytest.raises(ForeignFileError, match="nothing is written"):
        written.write([file(PLACES[0], "ours"), file(PLACES[1], "ours")])
    assert not below(tmp_path, PLACES[0]).exists()
    assert theirs.lstat() == before
    assert written.remove() == {}


def test_an_edited_file_stays_and_is_told_until_it_is_gone(tmp_path: Path) -> None:
    """Somebody's change may be all that keeps a device pulling."""
    written = WrittenFiles(tmp_path, "podman")
    written.write([file(PLACES[0], "ours"), file(PLACES[1], "ours")])
    edited = below(tmp_path, PLACES[0])
    edited.write_text("edited")
    for _ in range(2):
        assert written.remove()[PLACES[0]] is Fate.KEPT
        assert edited.read_text() == "edited"
    edited.unlink()
    assert written.remove() == {PLACES[0]: Fate.REMOVED}
    assert not below(tmp_path, RECORD).exists()


texts = st.sampled_from(["one", "two", "/link", "/other"])
sets = st.dictionaries(st.sampled_from(PLACES), texts, max_size=4)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), sets),
        st.tuples(st.just("remove"), st.just({})),
        st.tuples(st.just("another writes"), st.dictionaries(st.sampled_from(PLACES), texts)),
    ),
    max_size=6,
)


@settings(max_examples=25)  # each flushes some ten files
@given(steps)
def test_files_are_as_a_model_says_after_any_steps(
    walk: list[tuple[str, Mapping[PurePosixPath, str]]],
) -> None:
    """The model: what is there, and which of it is as we wrote it."""
    with TemporaryDirectory() as name:
        root = Path(name)
        written = WrittenFiles(root, "podman")
        there: dict[PurePosixPath, str] = {}
        ours: dict[PurePosixPath, set[str]] = {}
        for step, wanted in walk:
            if step == "another writes":
                for place, text in wanted.items():
                    path = below(root, place)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.unlink(missing_ok=True)
                    path.symlink_to(text) if text.startswith("/") else path.write_text(text)
                there |= wanted
                continue
            foreign = {
                place
                for place, text in wanted.items()
                if place in there and there[place] not in {text, *ours.get(place, ())}
            }
            if foreign:
                with pytest.raises(ForeignFileError):
                    written.write([file(*each) for each in wanted.items()])
                assert tree(root) == shown(there)
                continue
            if step == "write":
                written.write([file(*each) for each in wanted.items()])
            else:
                written.remove()
            gone = ours.keys() - wanted.keys()
            kept = {place for place in gone if place in there and there[place] not in ours[place]}
            for place in gone - kept:
                there.pop(place, None)
            same = {place for place, text in wanted.items() if there.get(place) == text}
            ours = {place: ours[place] for place in kept} | {
                place: {text}
                for place, text in wanted.items()
                if place in ours or place not in same
            }
            there |= wanted
            assert tree(root) == shown(there)


def shown(there: Mapping[PurePosixPath, str]) -> dict[str, str]:
    """Return what a tree looks like."""
    return {
        str(place): f"-> {text}" if text.startswith("/") else text for place, text in there.items()
    }


@settings(max_examples=25)  # each flushes some ten files
@given(sets, sets, st.sets(st.sampled_from(PLACES)))
def test_what_a_kill_leaves_behind_is_known(
    before: Mapping[PurePosixPath, str],
    wanted: Mapping[PurePosixPath, str],
    done: set[PurePosixPath],
) -> None:
    """The record of both is there first: any of the files may be old, new or missing."""
    with TemporaryDirectory() as name:
        root = Path(name)
        written = WrittenFiles(root, "podman")
        written.write([file(*each) for each in before.items()])
        old = recorded(root)
        written.write([file(*each) for each in wanted.items()])
        new = recorded(root)
        for place in {*before, *wanted} - done:  # as it was before the kill
            path = below(root, place)
            path.unlink(missing_ok=True)
            if place in before:
                path.parent.mkdir(parents=True, exist_ok=True)
                text = before[place]
                path.symlink_to(text) if text.startswith("/") else path.write_text(text)
        both = {place: [*{*old.get(place, []), *new.get(place, [])}] for place in {**old, **new}}
        record = below(root, RECORD)
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps({"files": both}))
        written.write([file(*each) for each in wanted.items()])
        assert tree(root) == shown(wanted)
        assert Fate.KEPT not in written.remove().values()
        assert tree(root) == {}


def recorded(root: Path) -> dict[str, list[str]]:
    """Return the record's files."""
    record = below(root, RECORD)
    if not record.exists():
        return {}
    files: dict[str, list[str]] = json.loads(record.read_text())["files"]
    return files


def test_a_disk_that_fails_in_the_middle_leaves_what_is_known(tmp_path: Path) -> None:
    """The record names a file before it is there, so that it is removed like any other."""
    below(tmp_path, PurePosixPath("/etc/certs.d")).mkdir(parents=True)
    in_the_way = below(tmp_path, PurePosixPath("/etc/certs.d/b"))
    in_the_way.write_text("a file where a folder belongs")
    written = WrittenFiles(tmp_path, "podman")
    files = [file(PLACES[0], "ours"), file(PLACES[2], "ours")]
    assert PLACES[2].parent.name == "b"
    with pytest.raises(OSError, match=r"exists|Not a directory"):
        written.write(files)
    assert below(tmp_path, PLACES[0]).read_text() == "ours"
    below(tmp_path, PLACES[0]).with_name(".x.unfinished").write_text("of a kill before the rename")
    assert Fate.KEPT not in written.remove().values()
    assert tree(tmp_path) == {"/etc/certs.d/b": "a file where a folder belongs"}


@given(
    st.binary(max_size=60)
    | st.recursive(
        st.none() | st.text(max_size=8) | st.just("/etc/x") | st.just("0" * 64),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(st.sampled_from(["files", "/etc/x", "/../x", "x"]), inner, max_size=2)
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_bytes_are_a_record_or_refused(content: bytes) -> None:
    """Whoever may write it could have other files removed, but only those that he can describe."""
    try:
        found = parse_record(content)
    except ValueError:
        return
    assert all(path.is_absolute() and ".." not in path.parts for path in found)


def test_what_is_no_record_is_left_alone(tmp_path: Path) -> None:
    """It may be somebody else's file."""
    record = below(tmp_path, RECORD)
    record.parent.mkdir(parents=True)
    record.write_text("theirs")
    for act in (WrittenFiles(tmp_path, "podman").remove,):
        with pytest.raises(ForeignFileError, match="no record"):
            act()
    assert record.read_text() == "theirs"
