"""What a machine is set to for other programs, and must change nothing here.

Libraries read the environment unasked: botocore a profile, libpq a host, httpx a proxy that cannot
reach this machine's own servers. Tests that are about such variables set them.
"""

import resource
from collections.abc import MutableMapping
from typing import Final

# Of AWS's libraries, of libpq, of the container clients, and of the product itself.
_LEFT_OUT: Final = ("AWS_", "BOTO_", "PG", "CONTAINERS_", "DOCKER_", "FACADE_", "CONTROL_PLANE_")
_LEFT_OUT_TOO: Final = frozenset({"REGISTRY_AUTH_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"})
_OURS: Final = "127.0.0.1,localhost,::1"  # what no proxy is asked for; apt and uv may need theirs


def leave_out(environment: MutableMapping[str, str]) -> None:
    """Remove what is meant for other programs."""
    for name in [*environment]:
        if name.startswith(_LEFT_OUT) or name in _LEFT_OUT_TOO:
            del environment[name]
    if any(name.lower().endswith("_proxy") for name in environment):
        for name in ("no_proxy", "NO_PROXY"):
            others = environment.get(name)
            environment[name] = f"{others},{_OURS}" if others else _OURS


def raise_descriptor_limit() -> None:
    """Take all descriptors that we may have.

    Many devices of a test are as many of ours. The usual soft limit is 1,024.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
