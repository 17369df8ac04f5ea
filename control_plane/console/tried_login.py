"""A login that is tried from a page: its steps as they happen, or all of them at its end."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from attrs import frozen

from control_plane.connections.checks import Checks, check_view
from control_plane.connections.request import ConnectionRequest
from control_plane.console.check_steps import ShownStep, check_steps, steps_so_far
from control_plane.errors import ControlPlaneError
from control_plane.proof.actor import Actor
from shared.oci import RepositoryName
from shared.upstream.check import CheckStage, LoginCheck


@frozen
class TrialProgress:
    """How far it has come: the steps, and what else is to be said."""

    steps: Sequence[ShownStep] = ()
    problems: Sequence[str] = ()

    def line(self) -> dict[str, object]:
        """Return what the page's script is told."""
        steps = [
            {"name": each.name, "told": each.told, "state": each.state, "words": each.words}
            for each in self.steps
        ]
        return {"steps": steps, "problems": [*self.problems]}


@frozen
class TriedLogin:
    """One login, tried once; `ended` is told how."""

    checks: Checks
    request: ConnectionRequest
    repository: RepositoryName | None
    actor: Actor
    ended: Callable[[LoginCheck], None]

    async def progress(self) -> AsyncIterator[TrialProgress]:
        """Yield how far it has come, each time that a stage is done, and how it ended.

        It ends with whoever reads this; nothing is kept of it.
        """
        stages = asyncio.Queue[CheckStage | None]()
        trial = asyncio.create_task(
            self.checks.check(
                self.request,
                actor=self.actor,
                repository=self.repository,
                tell=stages.put_nowait,
            )
        )
        trial.add_done_callback(lambda _: stages.put_nowait(None))
        done: list[CheckStage] = []
        try:
            yield self._so_far(done)
            while (stage := await stages.get()) is not None:
                done.append(stage)
                yield self._so_far(done)
            yield self._end(trial.result(), done)
        except ControlPlaneError as error:
            yield TrialProgress(problems=[str(error)])
        finally:
            trial.cancel()

    async def end(self) -> TrialProgress:
        """Return how it ended."""
        last = TrialProgress()
        async for each in self.progress():
            last = each
        return last

    def _so_far(self, done: Sequence[CheckStage]) -> TrialProgress:
        return TrialProgress(
            steps_so_far(
                done,
                plain_http=self.request.plain_http,
                repository=self.repository is not None,
            )
        )

    def _end(self, check: LoginCheck, done: Sequence[CheckStage]) -> TrialProgress:
        self.ended(check)
        steps = check_steps(
            check_view(check),
            plain_http=self.request.plain_http,
            repository=self.repository is not None,
            is_logged_in=CheckStage.TOKEN in done,
        )
        return TrialProgress(steps, [] if steps or not check.problem else [check.problem.text])
