"""Who may be the second approver: another human than the one who made the draft. Pure.

One human may have two identities: a person of single sign-on, and an operator's token. A token that
is tied to a person (`operators add NAME --person P`) is that person. Of a token that is tied to
nobody, nobody can tell whose it is. So it approves nothing that a known person made, and no known
person approves what was made with it.
"""

from collections.abc import Mapping
from typing import Final, Self

from attrs import frozen

from control_plane.operators.authenticated_operator import AuthenticatedOperator
from control_plane.operators.person import is_person

MAKER_PERSON: Final = "maker_person"  # in the audit entry of a draft, and of its approval
MAKER_NAME: Final = "maker_name"  # in that of an approval: what people call who made the draft
_TIE: Final = "`control-plane operators rotate NAME --person P` ties a token to a person"


@frozen
class Maker:
    """Who made a draft: the actor, and the human behind it, if that is known."""

    name: str
    person: str | None

    @classmethod
    def of(cls, name: str, person: str | None) -> Self:
        """Return the maker; an actor that is a person is that human."""
        return cls(name, name if is_person(name) else person)

    @property
    def details(self) -> Mapping[str, str]:
        """What an audit entry says of the human, if the actor does not say it."""
        return {MAKER_PERSON: self.person} if self.person and self.person != self.name else {}


def why_no_second(maker: Maker, approver: AuthenticatedOperator) -> str | None:
    """Return why the approver is not, or may not be, another human than the maker."""
    if maker.name == approver.name:
        return "here nobody approves a draft of their own"
    if maker.person is None and approver.person is None:
        return None  # two tokens, and no human of either is known
    if maker.person == approver.person:
        return "here nobody approves a draft of their own, and both identities are one person's"
    if approver.person is None:
        return (
            "here a second person approves, and your token is tied to none, while the draft is of"
            f" a known person; {_TIE}"
        )
    if maker.person is None:
        return (
            "here a second person approves, and the draft was made with a token that is tied to"
            f" none, so it might be your own; {_TIE}, and the draft is then made again"
        )
    return None
