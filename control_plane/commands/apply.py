"""`control-plane apply`: makes the drafts that bring connections to what files say."""

from collections.abc import Sequence
from typing import Any, Final

import click

from control_plane.commands.api_client import ApiClient
from control_plane.commands.apply_run import ApplyRun, Wished
from control_plane.commands.approval_end import ChosenEnd, end_options
from control_plane.commands.connection_options import check_first
from control_plane.commands.declared_files import read_declared_files
from control_plane.commands.lifetime import LifetimeType
from control_plane.commands.running import command
from control_plane.commands.usage import Command
from control_plane.connections.fields import parse_fingerprint
from control_plane.serving.config import ClientSettings
from control_plane.serving.environment import settings
from shared.output_form import OutputForm, output_form

DEFAULT_WAIT: Final = "10m"


def _fingerprints(
    ctx: click.Context, param: click.Parameter, value: Sequence[str]
) -> tuple[str, ...]:
    try:
        return tuple(dict.fromkeys(map(parse_fingerprint, value)))
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


@click.command(
    cls=Command,
    examples=(
        "control-plane apply -f connections.yaml --dry-run",
        "control-plane apply -f base.yaml -f production.yaml",
        "control-plane apply -f connections.yaml --approve sha256:… --expires 90d",
        "control-plane apply -f connections.yaml --prune",
    ),
)
@click.option(
    "-f",
    "--file",
    "files",
    type=click.Path(allow_dash=True),
    multiple=True,
    required=True,
    metavar="FILE|DIR",
    help="What is wanted; - is standard input. Repeatable: each is laid over those before it.",
)
@click.option("--dry-run", is_flag=True, help="Show the plan alone; exit with 3 if it has changes.")
@click.option(
    "--prune",
    is_flag=True,
    help="Revoke, for ever, what was approved as this set's and is not in the files.",
)
@click.option("--yes", is_flag=True, help="Revoke without asking.")
@click.option(
    "--approve",
    "fingerprints",
    multiple=True,
    metavar="FINGERPRINT",
    callback=_fingerprints,
    help="Approve the draft that has it, if it is what the files want. Repeatable.",
)
@end_options
@click.option("--despite-send-back", is_flag=True, help="Approve drafts that were sent back.")
@click.option("--wait", is_flag=True, help="Wait until all of it is approved.")
@click.option(
    "--timeout",
    type=LifetimeType(),
    default=DEFAULT_WAIT,
    show_default=True,
    help="How long --wait waits.",
)
@click.option("--take-over", is_flag=True, help="Take connections of other sets into this one.")
@click.option(
    "--allow-commands", is_flag=True, help="Run the programs that files name, for secrets."
)
@check_first
@output_form
@command
async def apply(*, form: OutputForm | None, **options: Any) -> None:
    """Connect and change registries as files say. It makes drafts; an approver lets them serve.

    Connections that the files do not name are left alone, unless --prune. Applying twice changes
    nothing.

    Settings: CONTROL_PLANE_URL, CONTROL_PLANE_TOKEN, CONTROL_PLANE_CA_FILE.

    Exits with 0 if there was nothing to do or all of it was done, 1 if something failed, 2 if the
    call or the files are wrong, 3 if a dry run found changes.
    """
    end = ChosenEnd.of(options)
    wished = Wished(end=end, **options)
    wished.require_sense()
    files = read_declared_files(wished.files)
    wished.require_set(files.wanted.name)
    async with ApiClient.open(settings(ClientSettings)) as api:
        run = ApplyRun(api, wished, files, form=form)
        status = await run.status()
    if status:
        raise SystemExit(status)
