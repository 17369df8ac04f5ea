"""`make bench`: one run, one table on standard output; progress goes to standard error.

Exit status: 0 measured, whether or not a bar is met; 1 a measurement failed; 2 the call is wrong.
"""

import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click
from attrs import evolve

from deploy.dev.debian import DebianError
from deploy.dev.processes import ChildFailedError
from shared.setting_types import parse_byte_size
from tests.bench import own_network
from tests.bench.figures import FLEETS, WORKERS
from tests.bench.generators import MeasurementError
from tests.bench.machine import Machine, Rivals
from tests.bench.measures import (
    cold,
    far_ranges,
    first_byte,
    herd,
    manifests,
    many_ranges,
    memory,
    parallel,
    processes,
    segments,
    sessions,
    storm,
    warm,
)
from tests.bench.measures.measure import Measuring, Options
from tests.bench.observations import Observations
from tests.bench.report import text, write_json
from tests.bench.scene import FOLDER, running

MEASURES: dict[str, Callable[[Measuring], None]] = {
    "memory": memory.measure,  # first: a heap that has grown would hide what devices cost
    "warm": warm.measure,
    "herd": herd.measure,
    "manifests": manifests.measure,
    "sessions": sessions.measure,
    "storm": storm.measure,
    "first-byte": first_byte.measure,
    "cold": cold.measure,
    "parallel": parallel.measure,
    "far-ranges": far_ranges.measure,
    "segments": segments.measure,
    "many-ranges": many_ranges.measure,
    "processes": processes.measure,
}
FAILED = 1


class _ByteSize(click.ParamType[int]):
    name = "size"

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        try:
            return value if isinstance(value, int) else parse_byte_size(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(MEASURES)), help="These measures.")
@click.option("--rounds", default=3, type=click.IntRange(1, 100), help="Rounds of each measure.")
@click.option("--size", default="256MiB", type=_ByteSize(), help="Bytes of the blob, as 256MiB.")
@click.option(
    "--workers",
    multiple=True,
    type=click.Choice([str(each) for each in WORKERS]),
    help="These cases of `parallel` alone.",
)
@click.option(
    "--fleet",
    "fleets",
    multiple=True,
    type=click.Choice([str(each) for each in FLEETS]),
    help="So many devices of `storm`, and no others.",
)
@click.option(
    "--json",
    "json_path",
    default=FOLDER / "result.json",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where every round is written to.",
)
@click.option(
    "--congestion",
    metavar="NAME",
    help="TCP congestion control of all servers, if it can be had; else the best that can.",
)
def main(
    only: tuple[str, ...],
    rounds: int,
    size: int,
    workers: tuple[str, ...],
    fleets: tuple[str, ...],
    json_path: Path,
    congestion: str | None,
) -> None:
    """Measure the facade beside nginx and distribution."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    began = time.monotonic()

    def say(words: str) -> None:
        click.echo(f"bench: {time.monotonic() - began:5.0f} s  {words}", err=True)

    options, observations = _options(rounds, size, only, workers, fleets), Observations()
    machine, status = _machine(congestion), 0
    try:
        with running(say) as scene:
            _measure(Measuring(scene, options, observations))
    except (ChildFailedError, DebianError, MeasurementError, OSError) as error:
        say(f"{type(error).__name__}: {error}")  # OSError: /proc knows no server that has ended
        status = FAILED  # what was seen until then is shown all the same
    write_json(json_path, machine, options, observations)
    click.echo(text(machine, options, observations))
    say(f"{'FAILED' if status else 'done'}; every round is in {json_path}")
    sys.exit(status)


def _options(
    rounds: int, size: int, only: tuple[str, ...], workers: tuple[str, ...], fleets: tuple[str, ...]
) -> Options:
    options = Options(rounds, size, only)
    if workers:
        options = evolve(options, workers=tuple(map(int, workers)))
    return evolve(options, fleets=tuple(map(int, fleets))) if fleets else options


def _stop(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 a handler's signature
    """End the run in order: the servers stop, and what was seen until now is shown."""
    raise MeasurementError(f"stopped by {signal.Signals(number).name}")


def _machine(congestion: str | None) -> Machine:
    """Fetch what runs; then leave the network that it is fetched from."""
    try:
        rivals = Rivals.fetch()
    except DebianError as error:
        click.echo(f"bench: {error}", err=True)
        sys.exit(FAILED)
    network = own_network.enter(congestion)
    because = f": {network.problem}" if network.problem else ""
    click.echo(f"bench: {network}{because}", err=True)
    return Machine(network, rivals)


def _measure(measuring: Measuring) -> None:
    for name, measure in MEASURES.items():
        if not measuring.options.only or name in measuring.options.only:
            measuring.scene.say(name)
            measure(measuring)


if __name__ == "__main__":
    main()
