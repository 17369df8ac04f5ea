"""Authorizations of one connection, minted on demand: what its client asks in every request.

Two levels are cached: the provider's credential for the whole host, and, if the registry sends a
Bearer challenge, one token for each scope. A token comes from the realm and service that its own
scope was challenged with, because Artifactory has a token endpoint for each repository. Both belong
to the connection's access key: what a rotation or a revocation ends, ends with the broker itself.

If using a remembered login fails, the login is in doubt. It is forgotten, the registry is asked
bare once, and what it says now holds. If that fails, too, the scope fails for as long as the
failure is remembered; then the registry is asked again. A registry that names its login with every
refusal needs no bare question, because the refusal was its answer.
"""

import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Final, assert_never

from attrs import define, field

from facade.registries.bare_questions import BareQuestions
from facade.registries.host_credential import Credentials, HostCredential, Prove
from facade.registries.realm_proofs import AskForLogin, ProveToRealm, RealmProofs
from facade.registries.refusals import NONSENSE_SECONDS, Refusals
from facade.registries.renewed import Lasting, Renewed
from facade.registries.scope_login import LOGIN_BYTES, ScopeLogin, TokenSlot
from facade.registries.token_endpoints import Exchange, TokenEndpoints
from shared.bounded_map import BoundedMap
from shared.failures import without_frames
from shared.secret import Secret
from shared.structured_log import get_logger
from shared.upstream.authorization import answerable
from shared.upstream.challenge import BasicChallenge, BearerChallenge, Challenge
from shared.upstream.errors import ChallengeError, CredentialRefusedError, UpstreamError
from shared.upstream.scope import Scope

# Of one connection: 4,096 repositories in use at once, or 450 whose tokens are as long as may be.
# The least used goes.
MAX_LOGIN_BYTES: Final = 4096 * LOGIN_BYTES
# One failure may be a bad node's. Two without a success between them are the registry's.
FAILURES_THAT_HOLD: Final = 2

LoginChallenge = BearerChallenge | BasicChallenge
# For what was minted (None: the whole host), and how that failed, if it did.
TellOfMinting = Callable[[Scope | None, BaseException | None], None]

_BASIC: Final = BasicChallenge()
_log = get_logger("facade.token_broker")


@define(eq=False)
class TokenBroker:
    """The `Authorizer` of one connection.

    `known_challenge` is the login that its registry accepts, whatever it asks for: Google's
    registries send a Bearer challenge, but accept the provider's credential for the whole host.
    `prove` shows a Basic credential to the registry once, before requests of devices do: a hundred
    at once with a wrong password would lock the account.
    """

    _credentials: Credentials
    _exchange: Exchange
    _known_challenge: LoginChallenge | None = None
    _prove: Prove | None = None
    _clock: Callable[[], float] = time.monotonic
    _tell: TellOfMinting = lambda _scope, _failure: None
    _prove_to_realm: ProveToRealm | None = None
    _ask_for_login: AskForLogin | None = None
    _credential: HostCredential = field(init=False)
    _logins: BoundedMap[Scope, ScopeLogin] = field(init=False)
    _takes_basic: bool = field(default=False, init=False)  # Basic is the whole host's
    _last: LoginChallenge | None = field(default=None, init=False)  # named, for whatever scope
    _refusals: Refusals[Scope] = field(init=False)  # of what was sent, by the registry itself
    _failures: Refusals[Scope] = field(init=False)  # of logins, after the registry was asked
    _endpoints: TokenEndpoints = field(init=False)
    _questions: BareQuestions[Scope] = field(factory=BareQuestions, init=False)

    def __attrs_post_init__(self) -> None:
        """Remember everything by the same clock."""
        self._refusals, self._failures = Refusals(self._clock), Refusals(self._clock)
        self._logins = BoundedMap(MAX_LOGIN_BYTES, size_of=lambda _, login: login.size)
        is_minted = self._known_challenge is not None
        self._credential = HostCredential(
            self._credentials, self._prove, is_minted, self._clock, partial(self._tell, None)
        )
        proofs = RealmProofs(self._prove_to_realm, self._ask_for_login, self._clock)
        self._endpoints = TokenEndpoints(self._exchange, self._credential, proofs)

    async def present(self, scope: Scope) -> Secret | None:
        """Return the value for the scope's login; None if the registry has to be asked bare.

        Raises the failure of a login if it still holds.
        """
        failed: tuple[LoginChallenge, UpstreamError] | tuple[()] = ()
        while True:
            await self._questions.until_answered(scope)
            self._refusals.require_none(scope)
            self._failures.require_none(scope)
            challenge = self._remembered(scope)
            if challenge is None:
                if self._is_in_doubt(scope):
                    self._questions.begin(scope, *failed)
                return None
            try:
                return await self._value(challenge, scope)
            except UpstreamError as error:
                if self._known_challenge is not None:
                    raise  # the registry would say nothing else
                self._doubt(challenge, scope, error)
                failed = challenge, without_frames(error)

    async def answer(
        self, challenges: tuple[Challenge, ...], scope: Scope, refused: Secret | None
    ) -> Secret | None:
        """Return a value to try once more with, or None.

        If a value had worked and is refused now, another one is minted, at most once a minute.
        """
        try:
            challenge = self._named(challenges, scope)
            if challenge is None:
                self._note_failure(scope, _unnamed_login(), NONSENSE_SECONDS)
                return None
            self._refusals.require_none(scope)
            self._require_other_than_failed(challenge, scope)
            offered = await self._offered(challenge, scope, refused)
        except UpstreamError as error:
            self._note_failure(scope, error)
            raise
        finally:
            self._questions.end(scope)
        if offered is None:
            self._remember_refusal(challenge, scope, was_named=bool(challenges))
        return offered

    def worked(self, scope: Scope) -> None:
        """Note that the registry accepted what was presented. Such a value may be minted again."""
        self._credential.worked(scope)
        if (login := self._logins.get(scope)) is not None:
            login.worked()

    def ended(
        self, scope: Scope, *, is_open: bool, unreadable: ChallengeError | None = None
    ) -> None:
        """Let others go on. If the registry asked for no login, it does not need one any more."""
        if unreadable is not None:
            self._note_failure(scope, unreadable)
        elif is_open and self._questions.mine(scope) is not None:
            self._logins.pop(scope)
        self._questions.end(scope)

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is being minted or refused, and anything may be asked for."""
        return (
            not self._refusals.holds_some
            and not self._failures.holds_some
            and self._credential.is_at_rest
            and self._endpoints.is_at_rest
            and all(self._login(scope).is_at_rest for scope in self._logins)
        )

    def close(self) -> None:
        """End what is being minted."""
        self._credential.close()
        self._endpoints.close()
        for scope in self._logins:
            self._login(scope).close()

    def _remembered(self, scope: Scope) -> LoginChallenge | None:
        """Return what is asked or shown before the registry has said anything."""
        if self._known_challenge is not None:
            return self._known_challenge
        login = self._logins.get(scope)
        if login is not None and login.trusted is not None:
            return login.trusted.challenge
        return _BASIC if self._takes_basic else None

    def _named(self, challenges: tuple[Challenge, ...], scope: Scope) -> LoginChallenge | None:
        """Return what the registry asks for; if it does not say, what it said before."""
        if self._known_challenge is not None:
            return self._known_challenge
        if challenges:
            self._last = _without_scope(answerable(challenges))
            return self._last
        # docker/hub-feedback#2530: such a 401 says nothing, so a login in doubt is as good as
        # before
        login = self._logins.get(scope)
        return self._remembered(scope) or (login.named if login else None) or self._last

    async def _value(self, challenge: LoginChallenge, scope: Scope) -> Secret:
        """Return the value for a challenge: at hand, or minted now."""
        match challenge:
            case BasicChallenge():
                return await self._credential.basic()
            case BearerChallenge():
                return await self._slot(challenge, scope).token.get()
            case _ as unreachable:
                assert_never(unreachable)

    async def _offered(
        self, challenge: LoginChallenge, scope: Scope, refused: Secret | None
    ) -> Secret | None:
        """Return another value than the refused one, if there may be one; trust its endpoint."""
        if refused is not None and not await self._may_replace(challenge, scope, refused):
            return None
        offered = await self._value(challenge, scope)
        self._trust(challenge, scope)
        return None if offered == refused else offered

    async def _may_replace(self, challenge: LoginChallenge, scope: Scope, refused: Secret) -> bool:
        """Tell whether a refusal may be answered with a new value. Drop the refused one."""
        if isinstance(challenge, BasicChallenge):
            return await self._credential.may_replace(refused, scope)
        return self._login(scope).may_replace(self._slot(challenge, scope), refused)

    def _trust(self, challenge: LoginChallenge, scope: Scope) -> None:
        """From now on use what the registry named, without asking the registry first."""
        if isinstance(challenge, BearerChallenge):
            self._login(scope).trust(self._slot(challenge, scope))
        elif self._known_challenge is None:
            self._logins.pop(scope)
        self._settle(scope, takes_basic=isinstance(challenge, BasicChallenge))

    def _settle(self, scope: Scope, *, takes_basic: bool) -> None:
        self._takes_basic = takes_basic
        self._failures.forget(scope)

    def _doubt(self, challenge: LoginChallenge, scope: Scope, error: UpstreamError) -> None:
        """Forget what failed, unless it was replaced meanwhile, and ask the registry first."""
        if self._known_challenge is not None or self._remembered(scope) != challenge:
            return
        _log.info("remembered login failed, the registry is asked", reason=type(error).__name__)
        if isinstance(challenge, BasicChallenge):
            self._takes_basic = False
        self._login(scope).doubt()

    def _is_in_doubt(self, scope: Scope) -> bool:
        login = self._logins.get(scope)
        return login is not None and login.in_doubt

    def _require_other_than_failed(self, challenge: LoginChallenge, scope: Scope) -> None:
        """Raise what failed just now, if the registry names nothing else."""
        question = self._questions.mine(scope)
        if question is not None and question.failure is not None and question.tried == challenge:
            raise without_frames(question.failure)

    def _note_failure(
        self, scope: Scope, error: UpstreamError, seconds: float | None = None
    ) -> None:
        """Make the scope fail for a while, but for no longer than the failure's own cause.

        While a token is at hand, a single failure may be a bad node's.
        """
        if self._known_challenge is not None:
            return  # the credential's own memory is enough
        login = self._login(scope)
        login.failures_in_a_row += 1
        if not login.has_token:
            login.doubt()
        elif login.failures_in_a_row < FAILURES_THAT_HOLD:
            return
        for remembered in (*login.refusals, *self._credential.refusals):
            if remembered.refusal.is_same(error):
                self._failures.keep(scope, remembered)
                return
        self._failures.remember(scope, error, seconds)

    def _remember_refusal(
        self, challenge: LoginChallenge, scope: Scope, *, was_named: bool
    ) -> None:
        """Let no device try the same again for a while.

        If a password never worked, it is refused for every repository. If it did, it may be refused
        for this repository only: Harbor answers 401 for what does not exist. If the registry named
        no login, the remembered one is in doubt.
        """
        refusal = CredentialRefusedError("the registry refuses the connection's credential")
        self._refusals.remember(scope, refusal)
        if isinstance(challenge, BasicChallenge):
            self._credential.refused_as_basic(refusal)
        if not was_named:
            self._doubt(challenge, scope, refusal)

    def _login(self, scope: Scope) -> ScopeLogin:
        login = self._logins.get(scope)
        if login is None:
            login = ScopeLogin(self._clock)
            self._logins.set(scope, login)
        return login

    def _slot(self, challenge: BearerChallenge, scope: Scope) -> TokenSlot:
        login = self._login(scope)

        def make(challenge: BearerChallenge) -> TokenSlot:
            async def mint() -> Lasting[Secret]:
                # Nothing here knows the slot, which knows this: what is forgotten is gone at once.
                token = await self._endpoints.mint(challenge, scope)
                self._note_token(challenge, scope, token.value)
                return token

            return TokenSlot(challenge, Renewed(mint, self._clock, partial(self._tell, scope)))

        known = challenge in login.slots
        slot = login.slot(challenge, make)
        if not known:
            self._logins.set(scope, login)  # it is longer
        return slot

    def _note_token(self, challenge: BearerChallenge, scope: Scope, token: Secret) -> None:
        """Note what an endpoint gave, also if all who waited for it have left."""
        login = self._logins.get(scope)
        slot = None if login is None else login.slots.get(challenge)
        if login is None or slot is None:  # forgotten meanwhile
            return
        slot.token_bytes = len(token.reveal())
        self._logins.set(scope, login)
        if login.note_token(slot):
            self._settle(scope, takes_basic=False)


def _without_scope(challenge: LoginChallenge) -> LoginChallenge:
    """Return the part that is the same for every repository. We ask for our own scope only."""
    if isinstance(challenge, BasicChallenge):
        return challenge
    return BearerChallenge(realm=challenge.realm, service=challenge.service, scope=None)


def _unnamed_login() -> CredentialRefusedError:
    return CredentialRefusedError(
        "the registry refuses our credential", status=HTTPStatus.UNAUTHORIZED
    )
