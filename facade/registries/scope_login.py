"""What one connection remembers of how to log in for one scope.

- A token endpoint is trusted from its first token until using it fails. Only a trusted endpoint is
  asked before the registry is.
- Endpoints that the registry named are remembered as slots, trusted or not, with their token and
  their own refusals. Being named again is no reason to be shown a password again.
- In doubt, one request at a time asks the registry bare.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from attrs import define, field

from facade.registries.refusals import RememberedRefusal
from facade.registries.renewed import FORCED_INTERVAL_SECONDS, Renewed
from shared.secret import Secret
from shared.upstream.challenge import BearerChallenge

# All nodes of a registry name one; two while it moves. A hostile one names another each time.
MAX_ENDPOINTS: Final = 4
LOGIN_BYTES: Final = 2048  # of one scope's login, without its challenges and tokens


@define(eq=False)
class TokenSlot:
    """A token endpoint's token for one scope."""

    challenge: BearerChallenge
    token: Renewed[Secret]
    token_bytes: int = 0  # of the last one

    @property
    def size(self) -> int:
        """Bytes that the registry and its endpoint chose: the challenge and the token."""
        named = (self.challenge.realm, self.challenge.service, self.challenge.scope)
        return sum(len(each) for each in named if each) + self.token_bytes


@define(eq=False)
class ScopeLogin:
    """The endpoints of one scope."""

    _clock: Callable[[], float] = time.monotonic
    slots: OrderedDict[BearerChallenge, TokenSlot] = field(factory=OrderedDict, init=False)
    trusted: TokenSlot | None = field(default=None, init=False)
    in_doubt: bool = field(default=False, init=False)
    failures_in_a_row: int = field(default=0, init=False)  # since the trusted one worked last
    _moved_at: float = field(default=float("-inf"), init=False)

    @property
    def named(self) -> BearerChallenge | None:
        """The endpoint that the registry named last, or that was used since."""
        return next(reversed(self.slots), None)

    def slot(
        self, challenge: BearerChallenge, make: Callable[[BearerChallenge], TokenSlot]
    ) -> TokenSlot:
        """Return the slot of an endpoint that the registry named now."""
        slot = self.slots.get(challenge)
        if slot is None:
            slot = self.slots[challenge] = make(challenge)
        self.slots.move_to_end(challenge)
        while len(self.slots) > MAX_ENDPOINTS:
            oldest = next(each for each in self.slots.values() if each is not self.trusted)
            del self.slots[oldest.challenge]
        return slot

    def note_token(self, slot: TokenSlot) -> bool:
        """Trust an endpoint that gave a token, unless the registry named another one meanwhile."""
        if self.named != slot.challenge:
            return False
        self.trust(slot)
        return True

    def trust(self, slot: TokenSlot) -> None:
        """Note that an endpoint gave something of use."""
        self.trusted, self.in_doubt = slot, False

    def doubt(self) -> None:
        """Trust no endpoint until the registry names one."""
        self.trusted, self.in_doubt = None, True

    def worked(self) -> None:
        """Note that the registry accepted the token."""
        if self.trusted is not None:
            self.trusted.token.note_accepted()
            self.failures_in_a_row = 0

    def may_replace(self, slot: TokenSlot, refused: Secret) -> bool:
        """Tell whether an endpoint may be asked for another token than a refused one.

        The endpoint that gave it may be asked once a minute, if it had worked. Another one that the
        registry names instead may be asked once a minute as well: a hostile registry names a new
        one with every refusal. A token that is at hand costs nothing.
        """
        if self.trusted is None or self.trusted is slot:
            return slot.token.drop(refused)
        now = self._clock()
        if slot.token.is_at_hand:
            return True
        if now - self._moved_at < FORCED_INTERVAL_SECONDS:
            return False
        self._moved_at = now
        return True

    @property
    def has_token(self) -> bool:
        """Whether a trusted endpoint's token is at hand."""
        return self.trusted is not None and self.trusted.token.is_at_hand

    @property
    def size(self) -> int:
        """Bytes that it takes: its own, and what registry and endpoints chose."""
        return LOGIN_BYTES + sum(slot.size for slot in self.slots.values())

    @property
    def refusals(self) -> tuple[RememberedRefusal, ...]:
        """The refusals of the endpoints that still hold."""
        refusals = (slot.token.refusal for slot in self.slots.values())
        return tuple(each for each in refusals if each is not None)

    @property
    def is_at_rest(self) -> bool:
        """Whether no token is being minted, none is refused, and any may be asked for."""
        has_moved = self._clock() - self._moved_at < FORCED_INTERVAL_SECONDS
        return not has_moved and all(slot.token.is_at_rest for slot in self.slots.values())

    def close(self) -> None:
        """End what is being minted."""
        for slot in self.slots.values():
            slot.token.close()
