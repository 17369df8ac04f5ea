"""Does a customer's role insist on its external id? AWS itself is asked, by trying without it.

If this facade's identity may assume a role without one, the facade is a confused deputy: another
customer who learns the role's name could connect it as theirs (AWS IAM user guide, "The confused
deputy problem"). Only the facade can try this, because the role trusts only its identity.
"""

from typing import Final
from uuid import uuid4

from facade.commands.check_report import CheckReport, CheckStep
from facade.registries.aws.ecr import EcrProvider
from shared.connection import EcrRole
from shared.upstream.errors import CredentialRefusedError, UpstreamError

_MEND: Final = (
    "so whoever else uses this facade and learns the role's name could have it assumed (confused"
    " deputy). Require sts:ExternalId in the role's trust policy, as the connection's grant shows"
)


async def check_external_id(provider: EcrProvider, role: EcrRole, report: CheckReport) -> None:
    """Tell whether the role cannot be assumed without its external id, nor with another."""
    if role.external_id is None:
        report.skipped(
            CheckStep.EXTERNAL_ID,
            "the connection has none, as approved; the role's name alone protects it",
        )
        return
    try:
        without = await _assumes(provider, None)
        with_another = await _assumes(provider, f"wrong-{uuid4().hex}")
    except UpstreamError as error:
        report.failed(CheckStep.EXTERNAL_ID, f"it cannot be tried: {error.message}")
        return
    if without or with_another:
        how = " and ".join(
            words
            for words, assumed in (("without one", without), ("with a wrong one", with_another))
            if assumed
        )
        report.failed(CheckStep.EXTERNAL_ID, f"the role lets itself be assumed {how}, {_MEND}")
    else:
        report.ok(CheckStep.EXTERNAL_ID, "the role refuses to be assumed without it, or another")


async def _assumes(provider: EcrProvider, external_id: str | None) -> bool:
    try:
        await provider.assume_role(external_id)
    except CredentialRefusedError:
        return False
    return True
