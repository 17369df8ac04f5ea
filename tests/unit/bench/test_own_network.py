"""A run measures on a loopback of its own, or says that it could not leave the machine's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.dev.debian import REPOSITORY
from tests.bench.congestion_control import PREFERRED, in_use

ENTER = """
import socket, sys
from tests.bench import own_network

def reaches(server):
    with socket.socket() as client:
        return client.connect_ex(server) == 0

with socket.create_server(("127.0.0.1", 0)) as machines:
    before = machines.getsockname()
    network = own_network.enter(*sys.argv[1:])
    with socket.create_server(("127.0.0.1", 0)) as own:
        assert reaches(own.getsockname())
    where = "stayed" if reaches(before) else "left"
print(where, network.congestion_control, network.problem, sep="\\n")
"""
IS_ROOT = os.geteuid() == 0
# A user who is nobody; he may read every folder that we may, for a checkout can lie anywhere.
NOBODY = (
    *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
    *("--inh-caps=+dac_override", "--ambient-caps=+dac_override"),
    "--securebits=+no_setuid_fixup",
)


def enter(*prefix: str, asked: str | None = None) -> tuple[str, str, str]:
    """Return whether a process left the machine's network, what it has there, and the problem."""
    command = [*prefix, sys.executable, "-c", ENTER, *([asked] if asked else [])]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    where, congestion_control, problem = ended.stdout.splitlines()
    return where, congestion_control, problem


def as_mounted(*mounts: str) -> tuple[str, ...]:
    """Return a prefix that changes the mounts of a process; it is root, perhaps of a namespace."""
    script = "".join(f"mount {mount} && " for mount in mounts)
    root = [] if IS_ROOT else ["--map-root-user"]
    return ("unshare", *root, "--mount", "/bin/sh", "-c", f'{script} exec "$@"', "sh")


def allowed() -> list[str]:
    """Return what this kernel lets a new network have; reno if it does not say."""
    try:
        return Path("/proc/sys/net/ipv4/tcp_allowed_congestion_control").read_text().split()
    except OSError:
        return ["reno"]


@pytest.mark.parametrize("asked", [None, "cubic", "reno", "bbr", "no-such"])
@pytest.mark.parametrize("user", [(), NOBODY] if IS_ROOT else [()])
def test_every_kernel_gives_a_network_with_the_best_it_allows(
    user: tuple[str, ...], asked: str | None
) -> None:
    """To root and to anybody else. The machine's network keeps what it has, and is not reached."""
    before = in_use()
    where, congestion_control, problem = enter(*user, asked=asked)
    can_be_had = {before, *allowed()}
    if where == "stayed":
        assert problem != "None"
        assert congestion_control == before
    elif asked in can_be_had:
        assert congestion_control == asked
    else:
        best = [*PREFERRED, before]
        assert congestion_control == next(name for name in best if name in can_be_had)
    assert in_use() == before


def test_a_network_that_takes_no_congestion_control_keeps_what_it_began_with() -> None:
    """As in a container, in which /proc/sys is read-only."""
    read_only = as_mounted("--bind /proc/sys /proc/sys", "-o remount,bind,ro /proc/sys")
    where, congestion_control, problem = enter(*read_only, asked="reno")
    assert (where, congestion_control, problem) == ("left", in_use(), "None")


def test_a_user_who_cannot_be_mapped_stays_where_he_was() -> None:
    """The kernel has given him a namespace by then: he would have left, with no way back."""
    read_only = as_mounted("-o remount,bind,ro /proc")
    another_user = NOBODY if IS_ROOT else ("unshare", "--user")
    where, congestion_control, problem = enter(*read_only, *another_user)
    assert (where, congestion_control) == ("stayed", in_use())
    assert problem.startswith(("the user cannot be mapped", "the kernel gives no network"))


def test_who_gets_no_network_stays_where_he_was() -> None:
    """A kernel may have given away all that it gives."""
    none_left = ("unshare", "--user", "--map-root-user", "/bin/sh", "-c")
    script = 'echo 0 >/proc/sys/user/max_net_namespaces && exec "$@"'
    where, congestion_control, problem = enter(*none_left, script, "sh")
    assert (where, congestion_control) == ("stayed", in_use())
    assert problem.startswith("the kernel gives no network: ")
