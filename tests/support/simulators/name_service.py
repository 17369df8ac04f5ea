"""A name service of a test's own: it answers names as it is told, and counts who asks."""

import socket
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from threading import Lock

from shared.upstream.resolver import AddressInfo


class NameService:
    """A `Lookup` that gives each name its answers in turn, and the last one for ever.

    An answer is a list of `address` or `(address, port)`; a port stands for the well-known one
    that a name in a URL means, so that `ghcr.io` may be a simulator.
    """

    def __init__(self) -> None:
        self._answers: dict[str, list[Sequence[str | tuple[str, int]]]] = {}
        self._lock = Lock()
        self.asked: list[str] = []

    def answer(self, name: str, *answers: Sequence[str | tuple[str, int]]) -> None:
        """Answer the name so: the first time, the second, and so on."""
        self._answers[name] = list(answers)

    def __call__(
        self,
        host: str,
        port: int,
        family: socket.AddressFamily,  # noqa: ARG002 - as `getaddrinfo` takes it
    ) -> Sequence[AddressInfo]:
        """Answer as `socket.getaddrinfo` does."""
        with self._lock:
            self.asked.append(host)
            answers = self._answers.get(host)
            if not answers:
                raise socket.gaierror(socket.EAI_NONAME, "no such name")
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return list(_address_infos(answer, port))


def _address_infos(
    answer: Sequence[str | tuple[str, int]], default_port: int
) -> Iterator[AddressInfo]:
    for entry in answer:
        address, port = (entry, default_port) if isinstance(entry, str) else entry
        is_v4 = ip_address(address).version == 4
        family = socket.AF_INET if is_v4 else socket.AF_INET6
        sockaddr = (address, port) if is_v4 else (address, port, 0, 0)
        yield family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", sockaddr
