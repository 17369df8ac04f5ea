"""Fills the slots of the device with a release, or empties them."""

from attrs import evolve, frozen

from device_agent.config import Configuration, ContainerSlot, HealthCheck
from device_agent.contents import Contents
from device_agent.descriptor import Descriptor
from device_agent.errors import ApplyError, RefusedError
from device_agent.health import Health
from device_agent.manifest import Manifest, expect_model
from device_agent.release import Artifact, Release
from device_agent.slots.container import ContainerRunner, layout_name
from device_agent.slots.model import ModelPlacer
from device_agent.store import Store


@frozen
class Slots:
    """Every slot of the configuration. What a release has for another slot is left alone."""

    configuration: Configuration
    store: Store
    contents: Contents
    health: Health

    def name_images(self, *releases: Release | None) -> None:
        """Have podman find these releases in the store."""
        artifacts = tuple(each for release in releases if release for each in release.artifacts)
        names = {each: layout_name(each) for each in artifacts}
        self.contents.name_images(Release(artifacts), names)

    def hold(self, release: Release, *, anew: bool = False) -> None:
        """Have every slot hold the release; ApplyError if one cannot. May be done again.

        `anew`: as after a change, of which a kill or a power cut may have left a part.
        """
        for artifact in self._of_slots(release):
            manifest = self._manifest(artifact)
            match self._filler(artifact.slot):
                case ContainerRunner() as runner:
                    runner.hold(artifact, manifest, anew=anew)
                case ModelPlacer() as placer:
                    placer.hold(_model(manifest), reload=anew)

    def hold_before(self, failed: Release, before: Release | None) -> None:
        """Have every slot hold what it held before a release, if anything. May be done again."""
        held = {each.slot for each in before.artifacts} if before is not None else set()
        for artifact in self._of_slots(failed):
            if artifact.slot not in held:
                self._filler(artifact.slot).hold_nothing()
        if before is not None:
            self.hold(before, anew=True)

    def expect_health(self, release: Release) -> None:
        """Return if every slot is well; ApplyError with the reason otherwise."""
        for artifact in self._of_slots(release):
            self.health.expect(self._check_of(artifact))
        if problems := self.problems(release):
            raise ApplyError("; ".join(problems))

    def problems(self, release: Release) -> list[str]:
        """Return what of a release is not as it was applied."""
        found = [self._problem(artifact) for artifact in self._of_slots(release)]
        return [each for each in found if each is not None]

    def tidy(self, release: Release) -> None:
        """Remove the containers and images of other releases."""
        for artifact in self._of_slots(release):
            filler = self._filler(artifact.slot)
            if isinstance(filler, ContainerRunner):
                filler.tidy(artifact)

    def _check_of(self, artifact: Artifact) -> HealthCheck:
        """Return a slot's check; in its words `{container}` is what the container is called."""
        check = self.configuration.slots[artifact.slot].health
        filler = self._filler(artifact.slot)
        if not isinstance(filler, ContainerRunner):
            return check
        name = filler.container_of(artifact)
        return evolve(check, command=tuple(w.replace("{container}", name) for w in check.command))

    def _problem(self, artifact: Artifact) -> str | None:
        try:
            manifest = self._manifest(artifact)
            match self._filler(artifact.slot):
                case ContainerRunner() as runner:
                    return runner.problem(artifact, manifest)
                case ModelPlacer() as placer:
                    return placer.problem(_model(manifest))
        except ApplyError as error:
            return f"{artifact.slot}: {error}"

    def _of_slots(self, release: Release) -> list[Artifact]:
        return [each for each in release.artifacts if each.slot in self.configuration.slots]

    def _filler(self, name: str) -> ContainerRunner | ModelPlacer:
        slot = self.configuration.slots[name]
        if isinstance(slot, ContainerSlot):
            return ContainerRunner(name, slot, self.configuration.podman, self.store)
        return ModelPlacer(name, slot, self.store)

    def _manifest(self, artifact: Artifact) -> Manifest:
        try:
            return self.contents.manifest_of(artifact)
        except (OSError, RefusedError) as error:
            raise ApplyError(f"{artifact.slot}: the stored manifest cannot be read") from error


def _model(manifest: Manifest) -> Descriptor:
    """Return a model's file; ApplyError if the slot was another kind's when this was brought."""
    try:
        return expect_model(manifest)
    except RefusedError as error:
        raise ApplyError(str(error)) from error
