"""`make run`: a stranger's first contact, and what is left of it however it ends."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from deploy.dev import debian
from deploy.dev.device import Reference, pull
from deploy.dev.processes import port_answers
from tests.support.waiting import wait_for

UP_SECONDS = 300  # on a loaded machine; alone it takes five
READY = "Ctrl-C stops everything"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose .dev/ nobody else uses; the programs are this virtual environment's."""
    return fill(tmp_path)


@pytest.fixture(scope="module")
def used_checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for several tests: a stack that starts there finds what the one before left."""
    return fill(tmp_path_factory.mktemp("used"))


def fill(folder: Path) -> Path:
    """Make a folder a checkout."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(debian.REPOSITORY / "deploy", folder / "deploy", ignore=ignore)
    debian.program("docker-registry", "docker-registry")
    debian.program("busybox", "busybox-static")
    if debian.UNPACKED.is_dir():
        shutil.copytree(debian.UNPACKED, folder / ".dev" / "debian")
    return folder


def run(checkout: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """`make run` until it ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "deploy.dev"],
        cwd=checkout,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=UP_SECONDS,
    )


@contextlib.contextmanager
def started(checkout: Path) -> Iterator[subprocess.Popen[str]]:
    """`make run`, not waited for; killed at the end if it is still there."""
    with (checkout / "output").open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.dev"],
            cwd=checkout,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def wait_until_up(checkout: Path, process: subprocess.Popen[str]) -> None:
    """Until it says what to try next."""
    output = checkout / "output"
    wait_for(lambda: READY in output.read_text() or process.poll() is not None, UP_SECONDS)
    assert READY in output.read_text(), output.read_text()


def pull_again(checkout: Path) -> int:
    """The bytes of the image, pulled once more by the device of this stack."""
    certificates = checkout / ".dev/run/certificates"
    tls = ssl.create_default_context(cafile=certificates / "server-ca/ca.pem")
    tls.load_cert_chain(certificates / "press-7.pem", certificates / "press-7.key")
    named = re.search(r"verified (\S+)@(sha256:\S+):", (checkout / "output").read_text())
    assert named is not None
    host, _, repository = named[1].partition("/")
    port = orjson.loads((checkout / ".dev/run/ports.json").read_bytes())["facade"]
    image = Reference(host, repository, named[2])
    return asyncio.run(pull(f"https://localhost:{port}", image, tls)).size


def ports(checkout: Path) -> list[int]:
    """Every port that the stack of this checkout uses."""
    return list(orjson.loads((checkout / ".dev/run/ports.json").read_bytes()).values())


def run_as_told(checkout: Path) -> None:
    """Run both programs' own commands with the lines that were printed for it."""
    said = (checkout / "output").read_text()
    lines = re.findall(r"^  (\(set -a; \. (\S+); .*\))$", said, re.MULTILINE)
    assert len(lines) == 2
    [path] = re.findall(r'^  (export PATH="\$PWD/\.venv/bin:\$PATH")$', said, re.MULTILINE)
    path = path.replace("$PWD/.venv/bin", str(Path(sys.executable).parent))
    for told, settings in lines:
        assert (checkout / settings).stat().st_mode & 0o777 == 0o600
        ended = subprocess.run(
            ["/bin/sh", "-c", f"{path}; {told}"],
            cwd=checkout,
            env={"PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
            timeout=UP_SECONDS,
        )
        assert ended.returncode == 0, ended.stderr
        assert "passed" in ended.stdout or "developer" in ended.stdout


def nothing_answers(checkout: Path) -> bool:
    """Whether all of its processes are gone."""
    return wait_for(lambda: not any(port_answers(port) for port in ports(checkout)))


def test_it_pulls_once_and_finds_everything_again(checkout: Path) -> None:
    """From nothing to a verified pull; a second start makes no second operator or connection."""
    first = run(checkout, ONCE="1")
    assert first.returncode == 0, first.stderr
    assert "Pulled and verified" in first.stdout
    token = (checkout / ".dev/run/operator.token").read_text()
    assert token not in first.stdout + first.stderr
    second = run(checkout, ONCE="1")
    assert second.returncode == 0, second.stderr
    assert (checkout / ".dev/run/operator.token").read_text() == token
    assert nothing_answers(checkout)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stays_up_alone_until_it_is_told_to_stop(used_checkout: Path, number: int) -> None:
    """A second one is refused in words; Ctrl-C and SIGTERM end it in order.

    What was pulled once is served from the store: the registry is not asked again.
    """
    checkout = used_checkout
    with started(checkout) as process:
        wait_until_up(checkout, process)
        run_as_told(checkout)
        asked = (checkout / ".dev/run/registry/registry.log").read_bytes()
        assert pull_again(checkout) > 0
        assert (checkout / ".dev/run/registry/registry.log").read_bytes() == asked
        assert list((checkout / ".dev/run/facade-cache/blobs/sha256").glob("*/*"))
        assert [port_answers(port) for port in ports(checkout)] == [True] * 5
        second = run(checkout, ONCE="1")
        assert second.returncode == 2
        assert "another stack runs" in second.stderr
        process.send_signal(number)
        assert process.wait(UP_SECONDS) == 0
        assert nothing_answers(checkout)


@pytest.mark.parametrize("moment", [0.5, 1.5, 3.0])
def test_a_kill_leaves_nothing_behind(checkout: Path, moment: float) -> None:
    """At whatever moment, no process stays and the next start is not troubled."""
    with started(checkout) as process:
        time.sleep(moment)
        process.kill()
        process.wait()
    starts_again(checkout)


def test_a_kill_of_one_that_is_up_leaves_nothing_behind(used_checkout: Path) -> None:
    """Then all of its processes are there."""
    with started(used_checkout) as process:
        wait_until_up(used_checkout, process)
        process.kill()
        process.wait()
    starts_again(used_checkout)


def starts_again(checkout: Path) -> None:
    """See that nothing runs of a stack that was killed, and that another one is not troubled."""
    if (checkout / ".dev/run/ports.json").exists():
        assert nothing_answers(checkout)
    again = run(checkout, ONCE="1")
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize("upstream", ["docker.io", "docker.io/library/busybox:latest", "@sha256:"])
def test_an_upstream_that_is_no_digest_is_refused(checkout: Path, upstream: str) -> None:
    """Before anything is started."""
    refused = run(checkout, UPSTREAM=upstream)
    assert refused.returncode == 2
    assert "host/repository@sha256:" in refused.stderr
    assert not (checkout / ".dev/run/postgres").exists()
