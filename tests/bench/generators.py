"""Load generators: processes of their own, so that a server is not measured with its clients."""

import itertools
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from attrs import define, field, frozen

from deploy.dev.processes import Child, ChildFailedError
from tests.bench.contenders.contender import Contender
from tests.bench.load.connection import CIPHER, KEY_EXCHANGE
from tests.bench.load.jobs import Job, Result, read, write
from tests.bench.process_cost import cpu_seconds

READY_SECONDS = 120.0  # a thousand handshakes take seconds
OPENSSL_CONFIGURATION = f"""\
openssl_conf = openssl_init
[openssl_init]
ssl_conf = ssl_module
[ssl_module]
system_default = tls_settings
[tls_settings]
Ciphersuites = {CIPHER}
Groups = {KEY_EXCHANGE}
"""


class MeasurementError(Exception):
    """A server or a load generator failed; the message bears what it said."""


@frozen
class Run:
    """What a job did, and what it cost the server."""

    results: list[Result]
    server_cpu_seconds: float

    @property
    def seconds(self) -> float:
        """From the first request to the last answer, over all generators."""
        ended = max(result.ended for result in self.results)
        return ended - min(result.began for result in self.results)

    @property
    def count(self) -> int:
        """Answers in all."""
        return sum(result.count for result in self.results)

    @property
    def failures(self) -> int:
        """Attempts that did not give the right answer, over all generators."""
        return sum(result.failures for result in self.results)

    @property
    def generator_cpu_seconds(self) -> float:
        """CPU time of the generators together."""
        return sum(result.cpu_seconds for result in self.results)


@frozen
class Started:
    """Generators that have connected, and wait."""

    children: list[Child]
    folders: list[Path]

    def finish(self, contender: Contender) -> Run:
        """Let all begin at the same moment; return when all are done."""
        before = cpu_seconds(contender.pids)
        for folder in self.folders:
            (folder / "go").touch()
        for child in self.children:
            _require_success(child, contender)
        spent = cpu_seconds(contender.pids) - before
        return Run([read(folder / "result.json", Result) for folder in self.folders], spent)


@define
class Generators:
    """Starts load generators in folders of their own."""

    folder: Path
    _numbers: Iterator[int] = field(factory=itertools.count)

    def run(self, contender: Contender, jobs: Sequence[Job]) -> Run:
        """Run a generator for each job. Raises `MeasurementError`, `ChildFailedError`."""
        with self.ready(jobs) as started:
            return started.finish(contender)

    @contextmanager
    def ready(self, jobs: Sequence[Job]) -> Iterator[Started]:
        """Give generators that have connected."""
        folders = [self._folder_of(job) for job in jobs]
        children: list[Child] = []
        try:
            for job, folder in zip(jobs, folders, strict=True):
                children.append(self._start(job, folder))
            for child, folder in zip(children, folders, strict=True):
                _wait_until_ready(child, folder)
            yield Started(children, folders)
        finally:
            for child in children:
                child.kill()

    def _folder_of(self, job: Job) -> Path:
        folder = self.folder / f"load-{next(self._numbers)}"
        folder.mkdir(parents=True)
        write(folder / "job.json", job)
        return folder

    def _start(self, job: Job, folder: Path) -> Child:
        configuration = folder / "openssl.cnf"
        configuration.write_text(OPENSSL_CONFIGURATION)
        return Child.start(
            [sys.executable, "-m", "tests.bench.load", type(job).__name__, folder],
            log=folder / "log",
            environment={"PATH": "/usr/bin:/bin", "OPENSSL_CONF": str(configuration)},
        )


def _wait_until_ready(child: Child, folder: Path) -> None:
    try:
        child.wait_until((folder / "ready").exists, READY_SECONDS)
    except ChildFailedError as error:
        raise MeasurementError(str(error)) from error


def _require_success(child: Child, contender: Contender) -> None:
    if child.process.wait() != 0:
        raise MeasurementError(
            f"{contender.name}: the load generator failed:\n{child.log_tail}\n"
            f"{contender.name}'s own log ends with\n{contender.children[0].log_tail}"
        )
    contender.require_running()
