"""Accepting that a backup was restored: a signed entry says so to every control plane."""

from control_plane.errors import ConflictError
from control_plane.proof.actions import ACCEPT_RESTORE
from control_plane.proof.acts import Acts
from control_plane.proof.audit_chain import AuditChain
from control_plane.proof.chain_reading import EMPTY
from control_plane.proof.session_endings import OF_EVERYBODY
from control_plane.proof.signed_log import Place
from control_plane.sessions.session_store import ending


async def accept_restore(chain: AuditChain, head: str, *, actor: str) -> Place:
    """Append the entry to the log that ends with this hash; return the entry's place.

    A control plane that has seen entries which this log lacks goes on with it once it finds an
    entry of this kind that is new to it. The checkpoint is written again, because one that came
    from elsewhere would contradict the log. Raises `ConflictError` if the log ends in another way,
    and `AuditDamagedError` if it is not whole: then it cannot be accepted.
    """
    _require_head(head, (await chain.load(whole=True)).end)
    async with Acts(chain).begin() as act:
        end = act.proofs.log.end
        _require_head(head, end)
        act.record(
            actor=actor,
            action=ACCEPT_RESTORE,
            about=f"audit/{end.sequence}",
            details={"head": head, "sequence": str(end.sequence)},
        )
        act.change(ending(OF_EVERYBODY, act.at))  # for lists of sessions
    log = await chain.loaded()
    await chain.write_checkpoint(log)
    return log.end


def _require_head(wanted: str, present: Place) -> None:
    if (present.hash or EMPTY) != wanted:
        raise ConflictError(
            f"the log ends with entry {present.sequence} now, whose hash is"
            f" {present.hash or EMPTY}: look at it with `control-plane audit list --last 1`, and"
            " accept that"
        )
