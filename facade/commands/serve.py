"""`facade serve`: the device endpoint, from its settings to its end."""

import asyncio
import gc
import resource
import signal
import sys
from typing import Final, NoReturn

import click
import uvloop

from facade.errors import StartError
from facade.loop.large_blocks import give_large_blocks_back
from facade.serving.app import serve as serve_devices
from facade.serving.config import PREFIX, FacadeSettings
from shared import structured_log
from shared.command_examples import ExemplaryCommand
from shared.core_dumps import allow_core_dumps
from shared.environment import (
    CONFIGURATION_ERROR_EXIT_CODE,
    ConfigurationError,
    exit_with_configuration_error,
    load,
)
from shared.keys import InvalidKeyFileError
from shared.postgres.exposure import exposure_of
from shared.service_manager import ServiceManager
from shared.stopping import take_stop_signals

_log = structured_log.get_logger("facade.cli")

# Pulls make hardly any reference cycles. With Python's own threshold of 700 objects, looking for
# them took a tenth of the CPU of a warm pull (docs/decisions/pulls.md).
COLLECT_AFTER_OBJECTS: Final = 50_000

# How long a thread that computes keeps the interpreter while the loop waits for it. One pull takes
# the loop several times. With Python's own 5 ms, whoever was served beside a thread that reads
# hostile manifests waited for more than 50 ms (docs/decisions/pulls.md).
SWITCH_SECONDS: Final = 0.001


@click.command("serve", cls=ExemplaryCommand, examples=("FACADE_LISTEN=0.0.0.0:8443 facade serve",))
def serve() -> None:
    """Run the device endpoint until SIGTERM or SIGINT; SIGHUP reads changed files at once.

    A second SIGTERM or SIGINT ends it without waiting for pulls.

    Configured by FACADE_* environment variables. Every configuration error is listed at once.
    """
    configured = _settings()
    structured_log.configure(configured.log_level)
    if configured.allow_core_dumps:
        allow_core_dumps()
    if (exposure := exposure_of(configured.database_url)) is not None:
        _log.warning("password is exposed", variable=f"{PREFIX}_DATABASE_URL", reason=exposure)
    _raise_descriptor_limit()
    _collect_seldom()
    give_large_blocks_back()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        with ServiceManager.of_this_process() as manager:
            uvloop.run(_serve_until_signalled(configured, manager))
    except InvalidKeyFileError as error:
        _exit(error, CONFIGURATION_ERROR_EXIT_CODE)
    except StartError as error:
        _exit(error, error.exit_status)


async def _serve_until_signalled(settings: FacadeSettings, manager: ServiceManager) -> None:
    stop, reload = asyncio.Event(), asyncio.Event()
    take_stop_signals(lambda _name: stop.set())
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload.set)
    await serve_devices(settings, stop, reload, manager)


def _exit(error: Exception, status: int) -> NoReturn:
    click.echo(f"facade: {error}", err=True)
    sys.exit(status)


def _settings() -> FacadeSettings:
    try:
        return load(FacadeSettings, PREFIX)
    except ConfigurationError as error:
        exit_with_configuration_error(error)


def _raise_descriptor_limit() -> None:
    """Use all descriptors that we may: every device is one, and so is every upstream pull."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _collect_seldom() -> None:
    """Leave what was imported out of every collection, and look for cycles less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER_OBJECTS, *gc.get_threshold()[1:])
