"""What readers of other processes wait for is seen as long as they live, and no longer."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from facade.store.wanted_spans import MAX_SPANS, TOLD_BYTES, ToldWant, ToldWants


def is_some(wants: ToldWants) -> bool:
    """Tell whether somebody waits now."""
    return wants.is_some


def test_what_is_waited_for_is_seen(tmp_path: Path) -> None:
    """Of several readers; and what one does not wait for any more is not."""
    wants = ToldWants.open(tmp_path)
    assert not is_some(wants)
    one, other = ToldWant.open(tmp_path), ToldWant.open(tmp_path)
    one.tell(10, 20)
    other.tell(100, 200)
    assert sorted(wants.spans()) == [(10, 20), (100, 200)]
    assert is_some(wants)
    one.tell(15, 16)
    assert sorted(wants.spans()) == [(15, 16), (100, 200)]
    assert not wants.is_all
    other.tell_all()
    assert (wants.spans(), wants.is_all) == ([(15, 16)], True)
    one.close()
    other.close()
    assert not is_some(wants)
    wants.close()


def test_a_long_one_hides_no_other(tmp_path: Path) -> None:
    """Only what is waited for next is told."""
    wants = ToldWants.open(tmp_path)
    long, far = ToldWant.open(tmp_path), ToldWant.open(tmp_path)
    long.tell(0, 2**40)
    far.tell(2**30, 2**30 + 7)
    assert sorted(wants.spans()) == [(0, TOLD_BYTES), (2**30, 2**30 + 7)]
    long.close()
    far.close()
    wants.close()


def test_no_more_are_looked_for_than_the_bound(tmp_path: Path) -> None:
    """However many there are."""
    wants = ToldWants.open(tmp_path)
    told = [ToldWant.open(tmp_path) for _ in range(MAX_SPANS + 20)]
    for place, each in enumerate(told):
        each.tell(place * 10, place * 10 + 1)
    assert len(wants.spans()) == MAX_SPANS
    for each in told:
        each.close()
    wants.close()


def test_who_reads_on_is_never_seen_waiting_for_nothing(tmp_path: Path) -> None:
    """What it waits for changes with each piece; it is somebody all along."""
    wants, reader = ToldWants.open(tmp_path), ToldWant.open(tmp_path)
    reader.tell(0, 1)

    def read_on() -> None:
        for place in range(1, 2_000):
            reader.tell(place, place + 1 + place % 7)

    with ThreadPoolExecutor(1) as threads:
        reading = threads.submit(read_on)
        seen = [wants.is_some]
        while not reading.done():
            seen.append(wants.is_some)
        reading.result()
    assert all(seen)
    reader.close()
    wants.close()


def test_a_process_that_is_killed_waits_for_nothing(tmp_path: Path) -> None:
    """Nobody has to clean up behind it."""
    wants = ToldWants.open(tmp_path)
    program = (
        "import os, sys, pathlib; from facade.store.wanted_spans import ToldWant;"
        "ToldWant.open(pathlib.Path(sys.argv[1])).tell(1, 2); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program, tmp_path], check=False)
    assert not is_some(wants)
    wants.close()
