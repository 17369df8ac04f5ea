"""`make run`: start everything, show the first pull, stay up until Ctrl-C.

ONCE=1 ends with 0 after the verified pull. UPSTREAM=host/repository@sha256:<hex> connects that
public registry, without a login, in place of the local one.
"""

import os
import signal
import sys
import time
from types import FrameType
from typing import NoReturn

import aiohttp
import click

from deploy.dev.debian import REPOSITORY, DebianError
from deploy.dev.device import PullError, Reference
from deploy.dev.operator import OperatorError
from deploy.dev.places import RUN, AlreadyRunningError, only_one_stack
from deploy.dev.processes import ChildFailedError
from deploy.dev.product import CommandFailedError
from deploy.dev.stack import (
    CACHE_MAX_BYTES,
    CONTROL_PLANE_SETTINGS,
    FACADE_SETTINGS,
    Running,
    running,
)

LOOK_SECONDS = 0.5
FAILED, WRONG_CALL = 1, 2
FAILURES = (
    ChildFailedError,
    CommandFailedError,
    DebianError,
    OperatorError,
    PullError,
    aiohttp.ClientError,
)


class StopRequested(BaseException):
    """A signal asked us to stop. Like KeyboardInterrupt, no handler of errors may catch it."""


def main() -> int:
    """The exit status: 0 done or asked to stop, 1 something failed, 2 the call is wrong."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        with only_one_stack():
            return _run(_upstream(os.environ.get("UPSTREAM", "")), os.environ.get("ONCE") == "1")
    except StopRequested:
        return 0
    except (AlreadyRunningError, ValueError) as error:
        click.echo(f"run: {error}", err=True)
        return WRONG_CALL
    except FAILURES as error:
        click.echo(f"run: {error}", err=True)
        return FAILED


def _run(upstream: Reference | None, once: bool) -> int:  # noqa: FBT001 as the variable ONCE says
    began = time.monotonic()
    with running(upstream, lambda step: click.echo(f"- {step}", err=True)) as stack:
        click.echo(_summary(stack, time.monotonic() - began))
        if once:
            return 0
        click.echo(_what_to_try(stack))
        return _stay_up(stack)


def _stay_up(stack: Running) -> int:
    """Wait until a signal comes, or one of the parts ends by itself."""
    while True:
        for name, child in stack.children.items():
            if not child.running:
                click.echo(f"run: {name} ended by itself:\n{child.log_tail}", err=True)
                return FAILED
        time.sleep(LOOK_SECONDS)


def _stop(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 a handler's signature
    """Stop once: meanwhile a second Ctrl-C changes nothing (stopping is bounded anyway)."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise StopRequested


def _upstream(text: str) -> Reference | None:
    return Reference.parse(text) if text else None


def _summary(stack: Running, seconds: float) -> str:
    pulled = stack.pulled
    return (
        f"\nPulled and verified {stack.image.facade_path}@{stack.image.digest}:\n"
        f"{pulled.manifests} manifest(s) and {pulled.blobs} blobs, {pulled.size} bytes, "
        f"{seconds:.1f} s after the start."
    )


def _what_to_try(stack: Running) -> str:
    image, certificates = stack.image, stack.certificates
    device, server_ca = certificates.device, certificates.server_ca
    path = f"{stack.facade_url}/v2/{image.facade_path}/manifests/{image.digest}"
    name = f"localhost:{stack.ports.facade}/{image.facade_path}@{image.digest}"
    return f"""
Facade         {stack.facade_url}    (devices, mTLS)
Control plane  {stack.control_plane_url}    (operators' API)
Console        {stack.control_plane_url}/console/    (sign in with the operator token)
Operations     http://127.0.0.1:{stack.ports.operations}/readyz
Operator token {stack.token}
Logs, keys, certificates: {server_ca.parents[2].relative_to(REPOSITORY)}/

Try next, from this folder:

  # so that lines below, and those that commands print, can be typed
  export PATH="$PWD/.venv/bin:$PATH"
  # as a device
  curl --cacert {_short(server_ca)} --cert {_short(device.certificate)} \\
    --key {_short(device.key)} \\
    {path}
  skopeo copy --src-cert-dir {_short(certificates.for_skopeo)} \\
    docker://{name} dir:.dev/pulled
  # what was pulled once comes out of the facade's store, of {CACHE_MAX_BYTES} at most
  ls {_short(RUN / "facade-cache/blobs/sha256")}

  # as an operator
  export CONTROL_PLANE_URL={stack.control_plane_url} CONTROL_PLANE_TOKEN={stack.token}
  control-plane connections list
  control-plane connections show {image.host}
  control-plane connections add docker.io --anonymous --no-check
  # on the host, with a program's own settings
  (set -a; . {_short(FACADE_SETTINGS)}; facade check {image.host})
  (set -a; . {_short(CONTROL_PLANE_SETTINGS)}; control-plane operators list)

Ctrl-C stops everything; `rm -rf .dev/run` forgets it."""


def _short(path: os.PathLike[str]) -> str:
    return os.path.relpath(path, REPOSITORY)


if __name__ == "__main__":
    sys.exit(main())
