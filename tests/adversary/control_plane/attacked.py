"""A control plane that somebody attacks, while an operator lists its connections."""

from contextlib import AbstractAsyncContextManager

from attrs import frozen

from deploy.dev.product import is_ready
from shared.outside_bytes import Party
from tests.adversary.bounds import OF_A_CONTROL_PLANE, Allowed
from tests.adversary.watch import Attack, Target, Watch
from tests.support.control_plane import ControlPlane

VICTIM = "eve"  # a viewer


@frozen
class AttackedPlane:
    """The control plane, and its victim."""

    plane: ControlPlane
    watch: Watch

    def watched(
        self, attack: str, party: Party, allowed: Allowed = OF_A_CONTROL_PLANE
    ) -> AbstractAsyncContextManager[Attack]:
        """Watch the victim and the control plane while the body attacks."""
        target = Target(
            pid=self.plane.child.pid,
            victim=(f"{self.plane.url}/v1/connections", "--token", self.plane.tokens[VICTIM]),
            is_alive=lambda: is_ready(f"127.0.0.1:{self.plane.port}"),
        )
        return self.watch(attack, party, target, allowed)
