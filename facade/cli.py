"""The `facade` command. Words for people go to standard error, results to standard output."""

from typing import Final

import click

from shared.build import Build
from shared.core_dumps import forbid_core_dumps
from shared.environment import forget_proxies
from shared.lazy_commands import LazyGroup

_COMMANDS: Final = {
    "check": "facade.commands.definitions",
    "device-config": "facade.commands.device_config",
    "identify": "facade.commands.identify",
    "resolve": "facade.commands.definitions",
    "serve": "facade.commands.serve",
    "settings": "facade.commands.settings",
    "tags": "facade.commands.definitions",
}


@click.group(
    cls=LazyGroup,
    modules=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(str(Build.of_this_program()))
def main() -> None:
    """Serve digests of approved registries to devices, over mutual TLS.

    Configured by FACADE_* environment variables. Results go to standard output, words for people
    to standard error.
    """
    forbid_core_dumps()
    forget_proxies()
