"""A device with the agent on it, and what its owner sees."""

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from attrs import define, field

from deploy.dev.device_ca import CertificateFiles
from deploy.dev.processes import Child
from device_agent.config import read_configuration
from device_agent.install import install as pin_root
from device_agent.journal import Journal, load
from tests.support.surroundings import ONE_AUTHORITY
from tests.support.warm.program import Finished, WarmProgram

SURROUNDINGS = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **ONE_AUTHORITY}
MODEL_SLOT = "model"
# A patience that tests can wait for. Nothing depends on how long it takes.
LIMITS = {"window_seconds": 2.0, "window_bytes": 65536, "retry_seconds": 0.0, "head_seconds": 20.0}


@define
class AgentDevice:
    """One device: its folder, its certificate, and the addresses that it was given."""

    folder: Path
    certificate: CertificateFiles
    server_ca: Path
    metadata_url: str
    facade_url: str
    slots: Mapping[str, Mapping[str, Any]] = field(factory=dict)
    limits: Mapping[str, float] = field(factory=lambda: dict(LIMITS))
    podman: Sequence[str] = ("podman",)
    environment: Mapping[str, str] = field(factory=dict)
    name: str = "press-7"
    fleet: str = "line-a"

    def __attrs_post_init__(self) -> None:
        """A device that holds a model, unless it is said what it holds."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.slots = self.slots or {MODEL_SLOT: {"kind": "model", "path": str(self.model)}}

    @property
    def model(self) -> Path:
        """Where its model lies."""
        return self.folder / "models" / "vision.onnx"

    @property
    def state(self) -> Path:
        """What the agent keeps."""
        return self.folder / "state"

    @property
    def holds(self) -> bytes | None:
        """The model that is there now."""
        return self.model.read_bytes() if self.model.exists() else None

    def write_configuration(self) -> Path:
        """Write what the owner has written; return where."""
        peer = {"ca": str(self.server_ca), **self._own}
        tables: dict[str, Any] = {
            "metadata": {"url": self.metadata_url, **peer},
            "facade": {"url": self.facade_url, **peer},
            "limits": self.limits,
            **{f"slots.{name}": slot for name, slot in self.slots.items() if "health" not in slot},
        }
        for name, slot in self.slots.items():
            if "health" in slot:
                tables[f"slots.{name}"] = {k: v for k, v in slot.items() if k != "health"}
                tables[f"slots.{name}.health"] = slot["health"]
        top = {
            "fleet": self.fleet,
            "device": self.name,
            "state": str(self.state),
            "podman": list(self.podman),
        }
        path = self.folder / "agent.toml"
        path.write_text(
            "\n".join([_lines(top), *(f"[{n}]\n{_lines(t)}" for n, t in tables.items())])
        )
        return path

    @property
    def _own(self) -> dict[str, str]:
        return {"certificate": str(self.certificate.certificate), "key": str(self.certificate.key)}

    async def run(self, *arguments: str) -> Finished:
        """Run `device-agent ARGUMENTS` to its end."""
        path = self.write_configuration()
        command = ["--config", str(path), *arguments]
        whole = {**SURROUNDINGS, **self.environment}
        return await asyncio.to_thread(warm_agent().run, command, environment=whole)

    def start(self, *arguments: str) -> Child:
        """Start it as a timer does, cold."""
        path = self.write_configuration()
        command = [sys.executable, "-m", "device_agent", "--config", str(path), *arguments]
        return Child.start(
            command, log=self.folder / "agent.log", environment={**SURROUNDINGS, **self.environment}
        )

    def install(self, root: Path) -> None:
        """Pin a root."""
        pin_root(read_configuration(self.write_configuration()), root, again=False)

    async def update(self, *arguments: str) -> Finished:
        """Run an update, as the timer does."""
        return await self.run("update", *arguments)

    @property
    def journal(self) -> Journal:
        """What the agent knows."""
        return load(self.state / "journal.json")


@cache
def warm_agent() -> WarmProgram:
    """Return what forks agents; the first time from the main thread."""
    return WarmProgram.start("device_agent.cli", surroundings=SURROUNDINGS)


def _lines(table: Mapping[str, Any]) -> str:
    """Write values of TOML that JSON writes alike: texts, numbers, lists of texts."""
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in table.items())
