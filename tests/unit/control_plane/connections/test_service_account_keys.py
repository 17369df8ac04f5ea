"""Keys that somebody posts are checked by another process, one at a time, and so many of them."""

import asyncio
import resource
import time
from collections.abc import Callable

import pytest

from control_plane.connections.request import ConnectionRequest, parse_connection_request
from control_plane.connections.service_account_keys import ServiceAccountKeys
from control_plane.errors import InvalidRequestError, TooManyRequestsError
from control_plane.operators.rate_limit import RateLimit
from tests.support.rsa_keys import composite_numbers, pem_of
from tests.support.simulators.google import ServiceAccount

HOST = "europe-docker.pkg.dev"


@pytest.fixture(scope="module")
def account() -> ServiceAccount:
    """An account with a sound key."""
    return ServiceAccount.create()


def request_with(account: ServiceAccount, **fields: object) -> ConnectionRequest:
    """Return the request that brings its key."""
    key = account.key_json(**fields)
    return parse_connection_request(
        {"host": HOST, "provider": "google_service_account", "service_account_key": key}
    )


def keys(burst: int = 100, clock: Callable[[], float] = lambda: 0.0) -> ServiceAccountKeys:
    """Return what checks them."""
    return ServiceAccountKeys(RateLimit(clock, burst=burst, what="service account keys"))


async def test_a_sound_key_is_accepted_and_one_of_composites_is_not(
    account: ServiceAccount,
) -> None:
    """The field is named, and nothing of the key."""
    await keys().require_sound(request_with(account), actor="alice")
    composite = pem_of(composite_numbers())
    with pytest.raises(InvalidRequestError) as refused:
        await keys().require_sound(request_with(account, private_key=composite), actor="alice")
    (error,) = refused.value.errors
    assert error.pointer == "/service_account_key"
    assert "do not belong together" in error.detail


async def test_the_loop_goes_on_while_keys_are_checked(account: ServiceAccount) -> None:
    """A check in a thread of ours would hold the interpreter, so another process has the work."""
    request, checking = request_with(account), keys()
    ours, others = time.process_time(), _seconds_of_others()
    checks = [
        asyncio.ensure_future(checking.require_sound(request, actor="alice")) for _ in range(4)
    ]
    turns = 0
    while not all(each.done() for each in checks):
        await asyncio.sleep(0.001 if turns < 20 else 0.05)  # a loop that turns for long costs, too
        turns += 1
    await asyncio.gather(*checks)
    assert turns > 2 * len(checks)
    assert _seconds_of_others() - others > time.process_time() - ours


def _seconds_of_others() -> float:
    """Return the processor time of processes that were started here and have ended."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime


async def test_an_operator_brings_so_many_keys(account: ServiceAccount) -> None:
    """Others are not held up by that."""
    request, checking = request_with(account), keys(burst=1)
    await checking.require_sound(request, actor="alice")
    with pytest.raises(TooManyRequestsError, match="too many service account keys"):
        await checking.require_sound(request, actor="alice")
    await checking.require_sound(request, actor="bob")


async def test_what_brings_no_key_costs_nothing() -> None:
    """A user name and its token are no key."""
    checking = keys(burst=1)
    body = {"host": "ghcr.io", "provider": "static", "username": "robot", "token": "t"}
    for _ in range(3):
        await checking.require_sound(parse_connection_request(body), actor="alice")
