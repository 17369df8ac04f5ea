"""Webhooks of one process: a sender for each target of the file, and the lease to send.

A problem with the audit log is told by every process that has it, with or without the lease: the
lease lies in the database that may be at fault. All of them give it the same id.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Self

from attrs import define, field

from control_plane.clock import Clock
from control_plane.errors import DatabaseUnavailableError, SchemaOutdatedError
from control_plane.metrics import ControlPlaneMetrics
from control_plane.proof.audit_chain import AuditChain
from control_plane.troubles import ControlPlanePart, Trouble
from control_plane.webhooks.problem_sender import ProblemSender
from control_plane.webhooks.sender_lease import BEAT_SECONDS, SenderLease
from control_plane.webhooks.sender_resources import SenderResources
from control_plane.webhooks.standing import TRIES_BEFORE_STOP, Standing
from control_plane.webhooks.target_sender import TargetSender
from control_plane.webhooks.targets_file import SETTING, TargetsFile
from control_plane.webhooks.webhook_metrics import WebhookMetrics
from control_plane.webhooks.webhook_store import fetch_beat, release, write_claim
from control_plane.webhooks.webhook_target import WebhookTarget
from shared.stopping import end_tasks, is_set_within
from shared.structured_log import get_logger
from shared.supervised import Supervisor
from shared.upstream.proxy import OutboundProxy

WORK: Final = "webhooks"  # the name of this work in `control_plane_background_failures_total`
_OFF: Final = {
    Standing.GONE: "answered 410 Gone",
    Standing.STOPPED: "failed for days",
}
_TURN_ON: Final = "until the file changes or SIGHUP"

_log = get_logger("control_plane.webhooks")


@define(eq=False)
class _Running:
    """A target that is sent to."""

    sender: TargetSender
    problems: ProblemSender
    tasks: tuple[asyncio.Task[None], ...]


@define(eq=False)
class Webhooks:
    """All targets of one process."""

    _file: TargetsFile
    _resources: SenderResources
    _supervisor: Supervisor
    _problems: Callable[[], Iterable[Trouble]]
    _running: dict[str, _Running] = field(factory=dict, init=False)
    _changes: int = field(default=0, init=False)
    _has_changed: asyncio.Event = field(factory=asyncio.Event, init=False)

    @classmethod
    def of(
        cls,
        file: TargetsFile | None,
        chain: AuditChain,
        clock: Clock,
        metrics: ControlPlaneMetrics,
        supervisor: Supervisor,
        problems: Callable[[], Iterable[Trouble]],
        *,
        proxy: OutboundProxy | None,
    ) -> Self | None:
        """Return what sends to the targets of a file that was read; None without a file."""
        if file is None:
            return None
        metrics.watch_file(SETTING)
        lease = SenderLease(time.monotonic)
        own = WebhookMetrics(metrics.registry)
        own.sends.set_function(lambda: lease.is_held)
        resources = SenderResources(chain, clock, lease, own, proxy, lambda: file.turned_on_at)
        return cls(file, resources, supervisor, problems)

    async def look(self, *, was_asked: bool) -> None:
        """Read the file again if it has changed; somebody who asks has targets turned on."""
        await self._file.look()
        if was_asked:
            self._file.turn_on()
        if self._changes != self._file.changes:
            self._has_changed.set()

    async def run(self) -> None:
        """Keep a sender for each target, and the lease, until cancelled."""
        try:
            while True:
                await self._match()
                await self._beat()
                await is_set_within(self._has_changed, BEAT_SECONDS)
                self._has_changed.clear()
        finally:
            await end_tasks(*(task for each in self._running.values() for task in each.tasks))

    async def close(self) -> None:
        """Store the positions, and have another process go on at once. `run` has ended."""
        lease = self._resources.lease
        try:
            for running in self._running.values():
                await running.sender.save()
            if lease.own is not None and lease.is_held:
                await release(self._resources.chain.database, lease.own)
        except (DatabaseUnavailableError, SchemaOutdatedError) as error:
            _log.warning("webhook positions not stored", reason=str(error))
        lease.lost()

    async def _match(self) -> None:
        """Begin with new targets and end those that the file names no more."""
        wanted = {target.name: target for target in self._file.current}
        for name, running in list(self._running.items()):
            if wanted.get(name) != running.sender.target or _has_ended(running):
                await self._end(name, running)
        for name, target in wanted.items():
            if name not in self._running:
                self._running[name] = self._begun(target)
        if self._changes != self._file.changes:
            self._changes = self._file.changes
            for running in self._running.values():
                running.sender.turn_on()

    def _begun(self, target: WebhookTarget) -> _Running:
        sender = TargetSender(target, self._resources)
        problems = ProblemSender(target, self._resources, self._problems)
        keep = self._supervisor.keep
        return _Running(sender, problems, (keep(WORK, sender.run), keep(WORK, problems.run)))

    async def _end(self, name: str, running: _Running) -> None:
        await end_tasks(*running.tasks)
        del self._running[name]
        try:
            await running.sender.save()
        except (DatabaseUnavailableError, SchemaOutdatedError) as error:
            _log.warning("webhook positions not stored", target=name, reason=str(error))
        self._resources.metrics.forget(name)

    async def _beat(self) -> None:
        """Keep the lease, or take it if nobody has it."""
        lease, database = self._resources.lease, self._resources.chain.database
        began = time.monotonic()
        try:
            found = await fetch_beat(database)
            claim = lease.claim(found.beat, is_released=found.is_released)
            if claim is None:
                return
            if await write_claim(database, claim):
                lease.claimed(claim, began)
            else:
                lease.lost()
        except (DatabaseUnavailableError, SchemaOutdatedError):
            return  # `/readyz` says so; the lease ends by itself

    def refused_files(self) -> frozenset[str]:
        """Return the setting whose file is not used as it is now."""
        return frozenset({SETTING} if self._file.refused else ())

    def troubles(self) -> Iterator[Trouble]:
        """Yield what is wrong with the file and with targets."""
        said = [*self._words()]
        if said:
            kind = "; ".join(kind for kind, _ in said)
            words = "; ".join(words for _, words in said)
            yield Trouble(ControlPlanePart.WEBHOOKS, words, stops=False, kind=kind)

    def _words(self) -> Iterator[tuple[str, str]]:
        """Yield a kind and words for each thing that is wrong."""
        if self._file.refused:
            words = f"{SETTING}: {self._file.refused}; the targets before it are in use"
            yield words, words
        for name, running in sorted(self._running.items()):
            standing = running.sender.standing.standing
            if standing.is_off:
                words = f"webhook target {name} {_OFF[standing]} and is sent nothing {_TURN_ON}"
                yield f"{name} {standing}", words
            elif running.sender.failures >= TRIES_BEFORE_STOP:
                words = (
                    f"webhook target {name} does not take its events; they wait, the log says why"
                )
                yield f"{name} {standing}", words


def _has_ended(running: _Running) -> bool:
    return any(task.done() for task in running.tasks)
