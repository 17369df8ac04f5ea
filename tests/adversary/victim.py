"""The victim: asks the same thing again and again on one kept connection, and times each answer.

A process of its own, so that what the test does to attack is not measured:

    python -m tests.adversary.victim URL --asked PID [--ca FILE] [--certificate FILE --key FILE]
        [--token TOKEN]

It prints `ready` after the first right answer. A line on its standard input begins a new phase. At
the end of its input it prints one JSON list for each phase: of each answer the seconds that it
took, and the seconds of a processor that the loop of the asked process had meanwhile. Whatever is
not a 200 is counted as `null`, and a new connection is made.
"""

import argparse
import json
import ssl
import sys
import threading
import time
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from attrs import define, field

PAUSE_SECONDS: Final = 0.005  # between two questions: 100 to 200 a second
PATIENCE_SECONDS: Final = 30.0
NANOSECOND: Final = 1e-9

Waited = tuple[float, float]  # seconds, and those of a processor that the loop worked meanwhile
Phase = list[Waited | None]


@define
class Victim:
    """One client, and what it measured."""

    url: str
    asked: int  # the process, whose first thread runs its loop
    tls: ssl.SSLContext | None  # None: plain HTTP
    headers: dict[str, str]
    phases: list[Phase] = field(factory=lambda: [[]])
    _connection: HTTPConnection | None = None

    def ask(self) -> None:
        """Ask once, and note how long it took."""
        began, worked = time.perf_counter(), self._worked()
        try:
            is_right = self._status() == 200
        except (OSError, HTTPException):
            is_right = False
        taken = time.perf_counter() - began
        if not is_right:
            self._connection = None
        self.phases[-1].append((taken, self._worked() - worked) if is_right else None)

    def _worked(self) -> float:
        """Return the seconds of a processor that the loop's thread has had; 0 once it is gone."""
        try:
            told = Path(f"/proc/{self.asked}/task/{self.asked}/schedstat").read_text()
        except OSError:
            return 0.0
        return int(told.partition(" ")[0]) * NANOSECOND

    def _status(self) -> int:
        split = urlsplit(self.url)
        if self._connection is None:
            self._connection = self._connect(split.hostname or "", split.port)
        target = split.path + (f"?{split.query}" if split.query else "")
        self._connection.request("GET", target, headers=self.headers)
        answer = self._connection.getresponse()
        answer.read()
        return answer.status

    def _connect(self, host: str, port: int | None) -> HTTPConnection:
        if self.tls is None:
            return HTTPConnection(host, port, timeout=PATIENCE_SECONDS)
        return HTTPSConnection(host, port, timeout=PATIENCE_SECONDS, context=self.tls)


def _tls(ca: str | None, certificate: str | None, key: str | None) -> ssl.SSLContext | None:
    if ca is None:
        return None
    tls = ssl.create_default_context(cafile=ca)
    if certificate is not None:
        tls.load_cert_chain(certificate, key)
    return tls


def main() -> None:
    """Measure until the end of the input."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--asked", type=int, required=True)
    parser.add_argument("--ca")
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    parser.add_argument("--token")
    options = parser.parse_args()
    headers = {"Authorization": f"Bearer {options.token}"} if options.token else {}
    tls = _tls(options.ca, options.certificate, options.key)
    victim = Victim(options.url, options.asked, tls, headers)
    ended = threading.Event()

    def follow() -> None:
        for _ in sys.stdin:
            victim.phases.append([])
        ended.set()

    threading.Thread(target=follow, daemon=True).start()
    is_told = False
    while not ended.is_set():
        victim.ask()
        if not is_told and victim.phases[-1][-1] is not None:
            print("ready", flush=True)  # noqa: T201
            is_told = True
        time.sleep(PAUSE_SECONDS)
    for phase in victim.phases:
        print(json.dumps(phase))  # noqa: T201


if __name__ == "__main__":
    main()
