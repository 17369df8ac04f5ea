"""A facade that somebody attacks, while a device of its own asks for a warm manifest."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from shared.outside_bytes import Party
from shared.statement import ConnectionApproval
from tests.adversary.bounds import OF_A_FACADE, Allowed
from tests.adversary.programs import as_device
from tests.adversary.watch import Attack, Target, Watch
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Device, Facade
from tests.support.facade_states import connect, pull_path
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter

TRIES: Final = 10  # to ask a facade that is attacked, on a busy machine


@frozen
class AttackedFacade:
    """The facade, all that it speaks to, and its victim."""

    facade: Facade
    database: FacadeDatabase
    writer: StatementWriter  # of the statements that it believes
    registry: RegistrySimulator  # the attacker, or what is attacked through the facade
    honest: RegistrySimulator  # the victim's
    victim: Device
    asked: str  # the path of the victim's manifest
    watch: Watch

    @property
    def cache(self) -> Path:
        """The folder of its store."""
        return Path(self.facade.environment["FACADE_CACHE_DIR"])

    def watched(
        self, attack: str, party: Party, allowed: Allowed = OF_A_FACADE
    ) -> AbstractAsyncContextManager[Attack]:
        """Watch the victim and the facade while the body attacks."""
        url = f"https://localhost:{self.facade.port}{self.asked}"
        target = Target(
            pid=self.facade.child.pid,
            victim=(url, *as_device(self.victim)),
            is_alive=self.facade.is_alive,
        )
        return self.watch(attack, party, target, allowed)

    async def connect(
        self, registry: RegistrySimulator | None = None, **terms: Any
    ) -> ConnectionApproval:
        """Approve a registry, `registry` unless another one is named; return once it is known."""
        return await connect(self.facade, self.writer, registry or self.registry, **terms)

    def attacker(self, name: str = "attacker") -> Device:
        """Return a device that is not the victim."""
        return self.facade.device(self.facade.files.device_ca.issue_device(device=name))

    def blob(self, content: bytes, **served: Any) -> str:
        """Have the registry serve a blob; return its path."""
        return pull_path(self.registry, self.registry.blob(content, **served))

    def manifest(self, content: bytes, **served: Any) -> str:
        """Have the registry serve a manifest; return its path."""
        return pull_path(self.registry, self.registry.manifest(content, **served), kind="manifests")

    def listed(self, subject: str) -> str:
        """Return the path of a digest's referrers."""
        return pull_path(self.registry, subject, kind="referrers")

    def metric(self, name: str, **labels: str) -> float:
        """Return a metric, added up over the labels that are not given."""
        asked = (self.facade.operations("/metrics") for _ in range(TRIES))
        told = next((text for status, text in asked if status), "")
        assert f"# TYPE {name} " in told
        given = [f'{label}="{value}"' for label, value in labels.items()]
        found = [
            each
            for each in told.splitlines()
            if each.partition(" ")[0].partition("{")[0] == name
            and all(label in each for label in given)
        ]
        return sum(float(each.rpartition(" ")[2]) for each in found)


@asynccontextmanager
async def meanwhile(
    *work: Coroutine[Any, Any, Any],
) -> AsyncIterator[list[asyncio.Task[Any]]]:
    """Have it go on in the body; what has not ended by then is cancelled."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield tasks
    finally:
        await cancelled(tasks)


async def cancelled(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks, and wait until they have ended, in whatever way."""
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
