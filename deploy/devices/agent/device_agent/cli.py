"""`device-agent install|update|status|verify`."""

import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final

import click

from device_agent import __version__
from device_agent.config import Configuration, read_configuration
from device_agent.errors import AgentError
from device_agent.install import install as pin_root
from device_agent.state_folder import StateFolder
from device_agent.status import read_status
from device_agent.status import verify as problems_of
from device_agent.store import Store
from device_agent.update import Outcome, Update

CONFIGURATION: Final = Path("/etc/device-agent/agent.toml")
# Others read models, and pass the folders that are made for them; what is the agent's own lies
# below a folder that is closed to them. So a stricter one, of a shell or a unit, does not count.
UMASK: Final = 0o022
# sysexits.h: EX_TEMPFAIL, what a timer tries again; 1 is for a person to look at
EXIT_STATUS: Final = {
    Outcome.CURRENT: 0,
    Outcome.UPDATED: 0,
    Outcome.INTERRUPTED: 75,
    Outcome.REFUSED: 1,
    Outcome.ROLLED_BACK: 1,
}


def _in_words(command: Callable[..., None]) -> Callable[..., None]:
    """End with a sentence, and not with a traceback, where the agent cannot go on."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except AgentError as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:  # a disk that is full or failing: the journal is as it was
            raise click.ClickException(
                f"{error.filename or 'the disk'}: {error.strerror}"
            ) from error

    return run


@click.group()
@click.option("--config", type=click.Path(path_type=Path), default=CONFIGURATION, show_default=True)
@click.version_option(__version__, prog_name="device-agent")
@click.pass_context
def main(context: click.Context, config: Path) -> None:
    """Keep this device on what its fleet has signed, whoever carries the bytes."""
    os.umask(UMASK)
    context.obj = config


@main.command()
@click.option(
    "--root", type=click.Path(path_type=Path), required=True, help="The fleet's root.json."
)
@click.option("--again", is_flag=True, help="Forget what was pinned and remembered before.")
@click.pass_obj
@_in_words
def install(config: Path, root: Path, *, again: bool) -> None:
    """Pin a root: from now on it decides what is believed."""
    configuration = read_configuration(config)
    with StateFolder(configuration.state).locked():
        signed = pin_root(configuration, root, again=again)
    keys = signed.roles["root"]
    click.echo(
        f"pinned root {signed.version}: {keys.threshold} of {len(keys.keyids)} keys change it"
    )


@main.command()
@click.option("--again", is_flag=True, help="Try a release once more that failed here.")
@click.pass_obj
@_in_words
def update(config: Path, *, again: bool) -> None:
    """Ask what the fleet names, and apply it if all of it is right."""
    configuration = _installed(config)
    state = StateFolder(configuration.state)
    with state.locked():
        state.prepare()
        Store(state.store).prepare()
        outcome = Update.of(configuration, click.echo, again=again).run()
    sys.exit(EXIT_STATUS[outcome])


@main.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
@_in_words
def status(config: Path, *, as_json: bool) -> None:
    """Show what is applied, and what went wrong last. Asks nobody."""
    shown = read_status(_installed(config))
    click.echo(shown.as_json() if as_json else shown.as_text())


@main.command()
@click.pass_obj
@_in_words
def verify(config: Path) -> None:
    """Read all that is applied once more, and compare. Asks nobody."""
    problems = problems_of(_installed(config))
    for problem in problems:
        click.echo(problem)
    if problems:
        sys.exit(1)
    click.echo("what is applied is what was signed")


def _installed(config: Path) -> Configuration:
    configuration = read_configuration(config)
    if not StateFolder(configuration.state).is_installed:
        raise AgentError("no root is pinned here: device-agent install --root root.json")
    return configuration
