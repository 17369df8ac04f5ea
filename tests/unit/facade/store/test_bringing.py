"""Who brings a blob is seen by all others who do, in whatever process."""

import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Barrier

import pytest

from facade.store.beginnings import BeginningLock, is_begun
from facade.store.bringing import BringingShare

NAME, OTHER = (hashlib.sha256(text).hexdigest() for text in (b"one", b"other"))
BRINGS_IT = """
import pathlib, sys
from facade.store.bringing import BringingShare
share = BringingShare.take(pathlib.Path(sys.argv[1]), sys.argv[2])
print(share.is_only_one, share.goes_first(), share.another_goes_first)
"""
Take = Callable[[str], BringingShare]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The file of the locks."""
    return tmp_path / "beginnings"


@pytest.fixture
def take(file: Path) -> Iterator[Take]:
    """Take a share, and let go of it at the end."""
    with ExitStack() as stack:

        def take(name: str) -> BringingShare:
            share = BringingShare.take(file, name)
            stack.callback(share.let_go)
            return share

        yield take


def elsewhere(file: Path, name: str) -> str:
    """Return what another process says that brings it."""
    command = [sys.executable, "-c", BRINGS_IT, str(file), name]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_one_who_is_alone_goes_first_and_others_are_told(file: Path, take: Take) -> None:
    """Until it has gone."""
    share = take(NAME)
    assert share.is_only_one
    assert share.goes_first()
    assert not share.another_goes_first
    assert elsewhere(file, NAME) == "False False True"
    assert elsewhere(file, OTHER) == "True True False"
    share.has_gone()
    assert elsewhere(file, NAME) == "False False False"


def test_of_several_nobody_goes_first(take: Take) -> None:
    """Each of them looks in its turn."""
    one, other = take(NAME), take(NAME)
    for each in (one, other):
        assert not each.is_only_one
        assert not each.goes_first()


def test_it_ends_with_its_process(file: Path, take: Take) -> None:
    """Whatever ends that: nothing has to be cleaned up."""
    assert elsewhere(file, NAME) == "True True False"
    assert take(NAME).goes_first()


def test_who_begins_is_another_matter(file: Path, take: Take) -> None:
    """The file is the same, and the locks are not."""
    take(NAME).goes_first()
    assert not is_begun(file, f"{NAME}-0")
    begins = BeginningLock.take(file, f"{NAME}-0")
    assert begins is not None
    begins.let_go()


def test_who_comes_as_one_goes_first_sees_it_or_is_seen(file: Path) -> None:
    """Else both would announce the same. One comes at any moment while the other goes first."""
    rounds, begin, end = 12_000, Barrier(2, timeout=60), Barrier(2, timeout=60)
    names = [hashlib.sha256(f"{number}".encode()).hexdigest() for number in range(rounds)]

    def come() -> list[bool]:
        saw = []
        for name in names:
            begin.wait()
            share = BringingShare.take(file, name)
            saw.append(share.another_goes_first)
            end.wait()
            share.let_go()
        return saw

    def go() -> list[bool]:
        went = []
        for number, name in enumerate(names):
            share = BringingShare.take(file, name)
            begin.wait()
            for _ in range(number % 16):  # a little later each time
                share.another_goes_first  # noqa: B018 - it takes its time
            went.append(share.goes_first())
            end.wait()
            share.let_go()
        return went

    with ThreadPoolExecutor(2) as pool:
        saw, went = pool.submit(come), pool.submit(go)
    assert (True, False) not in zip(went.result(), saw.result(), strict=True)
