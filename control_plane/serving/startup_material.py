"""What `serve` has read from files before anything serves."""

from attrs import field, frozen

from control_plane.http.tls_reload import ReloadedTls
from control_plane.proof.audit_chain import SeenChain
from control_plane.proof.belief import HighestGenerations
from control_plane.proof.generations_file import GenerationsFile
from control_plane.proof.sealer import Sealer
from control_plane.proof.signer import Signer
from control_plane.sessions.session_seal import SessionSeal
from control_plane.webhooks.targets_file import TargetsFile


@frozen
class Memory:
    """What earlier processes have seen, and the file that keeps it."""

    file: GenerationsFile | None
    highest: HighestGenerations
    seen: SeenChain


@frozen
class StartupMaterial:
    """Keys, certificate, memory and targets; none of it prints a secret."""

    signer: Signer
    sealer: Sealer = field(repr=False)
    session_seal: SessionSeal = field(repr=False)
    tls: ReloadedTls | None
    memory: Memory
    targets: TargetsFile | None
