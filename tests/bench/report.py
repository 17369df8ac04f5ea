"""What a run leaves: a table to read, and a file with every round."""

from pathlib import Path
from typing import Any

import cattrs
import orjson

from tests.bench.figures import FIGURES
from tests.bench.machine import Machine
from tests.bench.measures.measure import MIB, Options
from tests.bench.observations import Observations
from tests.bench.table import render


def text(machine: Machine, options: Options, observations: Observations) -> str:
    """Return what is printed."""
    asked = f"{options.rounds} rounds, a blob of {options.size / MIB:g} MiB"
    return f"{machine}\n{asked}\n\n{render(FIGURES, observations)}"


def write_json(path: Path, machine: Machine, options: Options, observations: Observations) -> None:
    """Write everything that was seen."""
    document: dict[str, Any] = {
        "machine": cattrs.unstructure(machine),
        "options": cattrs.unstructure(options),
        "figures": [
            observations.summary(figure) for figure in FIGURES if figure.key in observations.values
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
