"""The dashboards' JSON, which `make docs` writes: `python -m deploy.observability.dashboards`."""

from pathlib import Path
from typing import Final

from deploy.observability.facade_board import FACADE
from deploy.observability.fleet_board import FLEET_AND_REGISTRIES
from deploy.observability.grafana import Board

FOLDER: Final = Path(__file__).parent / "dashboards"
BOARDS: Final[dict[str, Board]] = {
    "facade.json": FACADE,
    "fleet-and-registries.json": FLEET_AND_REGISTRIES,
}

if __name__ == "__main__":
    for name, board in BOARDS.items():
        (FOLDER / name).write_bytes(board.text())
