"""One load generator: `python -m tests.bench.load KIND FOLDER`.

Reads `job.json` in the folder, connects, makes the file `ready`, waits for `go`, works, and writes
`result.json`. What is connected before `go` is nobody's time.
"""

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import evolve

from tests.bench.load import (
    first_byte,
    first_bytes,
    herd_ranges,
    many_ranges,
    ranges,
    requests,
    sessions,
    stopped,
    storm,
    streams,
)
from tests.bench.load.jobs import (
    FirstByteJob,
    FirstBytesJob,
    HerdRangesJob,
    ManyRangesJob,
    RangesJob,
    RequestsJob,
    Result,
    SessionsJob,
    StoppedJob,
    StormJob,
    StreamsJob,
    read,
    write,
)

GO_SECONDS = 120.0
POLL_SECONDS = 0.001

Prepare = Callable[[Any], Callable[[], Result]]
KINDS: dict[str, tuple[type, Prepare]] = {
    "StreamsJob": (StreamsJob, streams.prepare),
    "RequestsJob": (RequestsJob, requests.prepare),
    "SessionsJob": (SessionsJob, sessions.prepare),
    "RangesJob": (RangesJob, ranges.prepare),
    "HerdRangesJob": (HerdRangesJob, herd_ranges.prepare),
    "ManyRangesJob": (ManyRangesJob, many_ranges.prepare),
    "StormJob": (StormJob, storm.prepare),
    "StoppedJob": (StoppedJob, stopped.prepare),
    "FirstByteJob": (FirstByteJob, first_byte.prepare),
    "FirstBytesJob": (FirstBytesJob, first_bytes.prepare),
}


def main(kind: str, folder: Path) -> None:
    """Work through one job."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # every device is one descriptor
    job_type, prepare = KINDS[kind]
    run = prepare(read(folder / "job.json", job_type))
    (folder / "ready").touch()
    _wait_for(folder / "go")
    before = time.process_time()
    result = run()
    write(folder / "result.json", evolve(result, cpu_seconds=time.process_time() - before))


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + GO_SECONDS
    while not path.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(path.name)
        time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
