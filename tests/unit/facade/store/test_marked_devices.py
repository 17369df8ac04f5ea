"""Who was sent unverified ranges is found again, each once, and the file stays bounded."""

from pathlib import Path

from facade.store import marked_devices
from facade.store.ingest_file import MARKED
from facade.store.marked_devices import MAX_NAMED, MAX_READ_BYTES, note_marked, read_marked


def test_each_device_is_named_once(tmp_path: Path) -> None:
    """In the order in which they came; whatever a name may have in it."""
    assert read_marked(tmp_path).named == []
    for device in ("press-7", "press-8", "press-7", "a\nb"):
        note_marked(tmp_path, device)
    marked = read_marked(tmp_path)
    assert (marked.named, marked.others) == (["press-7", "press-8", "a b"], 0)


def test_beyond_the_bound_devices_are_counted(tmp_path: Path) -> None:
    """A log of a fleet would be longer than anybody reads."""
    for place in range(MAX_NAMED + 3):
        note_marked(tmp_path, f"device-{place}")
    marked = read_marked(tmp_path)
    assert (len(marked.named), marked.others) == (MAX_NAMED, 3)


def test_the_file_stays_bounded(tmp_path: Path) -> None:
    """Long names are left out first, then nothing is noted any more."""
    path = tmp_path / MARKED
    path.write_bytes(b"x" * (marked_devices.MAX_NAMES_BYTES - 1) + b"\n")
    note_marked(tmp_path, "late")
    assert path.stat().st_size == marked_devices.MAX_NAMES_BYTES + 1
    assert read_marked(tmp_path).others == 1
    path.write_bytes(b"\n" * MAX_READ_BYTES)
    note_marked(tmp_path, "later")
    assert path.stat().st_size == MAX_READ_BYTES
