"""A connection that is tampered with, and another that must not notice."""

from typing import Self

from attrs import define

from shared.statement import ConnectionApproval
from tests.support.database_writer import DatabaseWriter, Row
from tests.support.eventually import eventually
from tests.support.facade_process import Device, Facade
from tests.support.facade_states import connect, pull_path
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter

OLDER = "older than a statement that was seen before"
GONE = "its row is gone without a statement"
NO_SIGNATURE = "the signature does not hold"


def refusals(facade: Facade, subject: str) -> list[str]:
    """Return why the facade withdrew a subject, each time that it did."""
    return [
        line["reason"]
        for line in facade.log_lines(logger="facade.statement_feed", subject=subject)
        if line["event"] in {"statement refused", "statement vanished, counted as revoked"}
    ]


async def until_refused(facade: Facade, subject: str, reason: str, *, times: int = 1) -> None:
    """Return once the log has said for the n-th time why the subject is not believed."""
    await eventually(lambda: len(refusals(facade, subject)) >= times)
    assert refusals(facade, subject)[times - 1] == reason


@define
class Scene:
    """Two connections of two registries: one is tampered with, the other must not notice."""

    facade: Facade
    device: Device
    writer: StatementWriter
    attacker: DatabaseWriter
    upstream: RegistrySimulator
    approval: ConnectionApproval
    row: Row
    path: str
    bystander_path: str

    @classmethod
    async def make(
        cls,
        facade: Facade,
        writer: StatementWriter,
        upstream: RegistrySimulator,
        bystander: RegistrySimulator,
    ) -> Self:
        """Connect both registries, and see that both are served."""
        path = pull_path(upstream, upstream.blob(b"content"))
        bystander_path = pull_path(bystander, bystander.blob(b"of the bystander"))
        await connect(facade, writer, bystander)
        approval = await connect(facade, writer, upstream)
        attacker = DatabaseWriter(writer.owner_url)
        row = await attacker.row(approval.subject)
        device = facade.device()
        made = cls(facade, device, writer, attacker, upstream, approval, row, path, bystander_path)
        assert await made.status() == 200
        return made

    async def status(self) -> int:
        """Return what a pull through the victim is answered; the bystander must be served."""
        assert (await self.device.get(self.bystander_path)).body == b"of the bystander"
        return (await self.device.get(self.path)).status

    async def until_refused(self, reason: str, *, times: int = 1) -> None:
        """Return once the victim was refused; it must not be served, and nobody asked for it."""
        await until_refused(self.facade, self.row.subject, reason, times=times)
        asked = len(self.upstream.requests)
        assert await self.status() == 404
        assert len(self.upstream.requests) == asked

    async def until_restored(self) -> None:
        """Put the genuine row back; return once it serves again."""
        await self.attacker.put(self.row)

        async def serves() -> bool:
            return await self.status() == 200

        await eventually(serves)
