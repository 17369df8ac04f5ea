"""Settings that a machine has for other programs, and that must change nothing here.

Libraries read the environment unasked: botocore reads a profile, libpq a host, httpx a proxy that
cannot reach this machine's own servers. Tests about such variables set them.
"""

import os
import resource
import tempfile
from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path
from typing import Final

from deploy.dev.debian import DEV
from deploy.dev.product import whole_environment

# Of AWS's libraries, of libpq, of the container clients, and of the product itself.
_LEFT_OUT: Final = ("AWS_", "BOTO_", "PG", "CONTAINERS_", "DOCKER_", "FACADE_", "CONTROL_PLANE_")
_LEFT_OUT_TOO: Final = frozenset({"REGISTRY_AUTH_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"})
# Where programs may be run from if the machine's own temporary folder is mounted `noexec`.
_OTHER_FOLDERS: Final = (Path("/var/tmp"), DEV / "tmp")  # noqa: S108 - Linux's own
# Libraries read the system's authorities whenever they make a TLS context. A machine's 140 take 25
# ms, and a facade makes three contexts until it is ready. This single authority vouches for nobody:
# it was made once, and its key was thrown away.
ONE_AUTHORITY: Final = dict.fromkeys(
    ("SSL_CERT_FILE", "AWS_CA_BUNDLE"), str(Path(__file__).with_name("one_authority.pem"))
)
_MACHINES_OWN: Final = {name: os.environ[name] for name in ONE_AUTHORITY if name in os.environ}
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


def of_a_child(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of a program of ours with these settings."""
    return whole_environment({**ONE_AUTHORITY, **settings})


def beyond_this_machine() -> dict[str, str]:
    """Return the environment of a program that asks others: it believes whom this machine does."""
    ours = {name: value for name, value in os.environ.items() if name not in ONE_AUTHORITY}
    return ours | _MACHINES_OWN


def use_executable_folder(environment: MutableMapping[str, str]) -> None:
    """Put temporary files, pytest's too, where programs can run: tests install some."""
    folder = executable_folder([Path(tempfile.gettempdir()), *_OTHER_FOLDERS])
    environment["TMPDIR"] = tempfile.tempdir = str(folder)


def executable_folder(folders: Iterable[Path]) -> Path:
    """Return the first of the folders, or make it, that is not mounted `noexec`."""
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.statvfs(folder).f_flag & os.ST_NOEXEC:
            return folder
    raise OSError("programs can be run neither from the temporary folder nor from the checkout")


def raise_descriptor_limit() -> None:
    """Take all descriptors that we may have.

    Many devices of a test are as many of ours. The usual soft limit is 1,024.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
