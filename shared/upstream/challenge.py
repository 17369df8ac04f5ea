"""`WWW-Authenticate` (RFC 9110 section 11.6.1), and the Bearer scheme of registries (RFC 6750).

    WWW-Authenticate = #challenge
    challenge        = auth-scheme [ 1*SP ( token68 / #auth-param ) ]
    auth-param       = token BWS "=" BWS ( token / quoted-string )

One value may hold several challenges, and a registry may send several values. Whatever does not
fit the grammar is refused as a whole: a guess here decides who is shown a credential.
"""

import re
from collections.abc import Sequence
from typing import Final

from attrs import frozen

from shared.outside_bytes import Party, reads_bytes_of
from shared.upstream.errors import ChallengeError

MAX_CHALLENGE_CHARACTERS: Final = 8192  # all values together; real ones are under 500
MAX_CHALLENGES: Final = 16  # Negotiate, NTLM, Basic, Bearer and room

_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110's `token`, no password
_QUOTED: Final = r'"(?:[\t !#-\[\]-~\x80-\uffff]|\\[\t -~\x80-\uffff])*"'
_SEPARATOR: Final = re.compile(r"[ \t]*(?:,[ \t]*)*")
_SCHEME: Final = re.compile(rf"({_TOKEN})(?=[ \t,]|\Z)")
_SPACES: Final = re.compile(r"[ \t]*")
_TOKEN68: Final = re.compile(r"[0-9A-Za-z._~+/-]+=*(?=[ \t]*(?:,|\Z))")
_PARAMETER: Final = re.compile(
    rf"({_TOKEN})[ \t]*=[ \t]*(?:({_TOKEN})|({_QUOTED}))(?=[ \t]*(?:,|\Z))"
)
_NEXT_PARAMETER: Final = re.compile(rf"[ \t]*(?:,[ \t]*)+(?={_TOKEN}[ \t]*=)")
_QUOTED_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)


@frozen
class BearerChallenge:
    """Ask the token endpoint `realm` for a token (distribution's token specification)."""

    realm: str
    service: str | None = None
    scope: str | None = None

    @property
    def endpoint(self) -> str:
        """The realm without its query, which may differ from request to request."""
        return self.realm.partition("?")[0]


@frozen
class BasicChallenge:
    """Send user name and password (RFC 7617)."""

    realm: str = ""


@frozen
class OtherChallenge:
    """A scheme that we do not speak, in lower case."""

    scheme: str


Challenge = BearerChallenge | BasicChallenge | OtherChallenge


@reads_bytes_of(Party.REGISTRY)
def parse_challenges(values: Sequence[str]) -> tuple[Challenge, ...]:
    """Return the challenges of every `WWW-Authenticate` value, in order.

    Raises `ChallengeError` for what does not fit the grammar or the bounds, for a parameter given
    twice, and for Bearer without a realm.
    """
    if sum(map(len, values)) > MAX_CHALLENGE_CHARACTERS:
        raise ChallengeError("the registry's challenge is too long")
    challenges = tuple(challenge for value in values for challenge in _parse_value(value))
    if len(challenges) > MAX_CHALLENGES:
        raise ChallengeError("the registry sends too many challenges")
    return challenges


def preferred(challenges: Sequence[Challenge]) -> BearerChallenge | BasicChallenge | None:
    """Return the first Bearer challenge, else the first Basic one, else None."""
    for kind in (BearerChallenge, BasicChallenge):
        for challenge in challenges:
            if isinstance(challenge, kind):
                return challenge
    return None


def _parse_value(value: str) -> list[Challenge]:
    challenges: list[Challenge] = []
    position = _skip(_SEPARATOR, value, 0)
    while position < len(value):
        scheme = _SCHEME.match(value, position)
        if scheme is None:
            raise _malformed()
        parameters, position = _parse_parameters(value, scheme.end())
        challenges.append(_challenge(scheme[1].lower(), parameters))
        after = _skip(_SEPARATOR, value, position)
        if after < len(value) and "," not in value[position:after]:
            raise _malformed()
        position = after
    return challenges


def _parse_parameters(value: str, position: int) -> tuple[dict[str, str], int]:
    """Return the parameters behind a scheme, none for a token68, and where they end."""
    parameters: dict[str, str] = {}
    position = _skip(_SPACES, value, position)
    if _PARAMETER.match(value, position) is None:
        token68 = _TOKEN68.match(value, position)
        return parameters, token68.end() if token68 else position
    while True:
        parameter = _PARAMETER.match(value, position)
        if parameter is None or parameter[1].lower() in parameters:
            raise _malformed()
        quoted = parameter[3]
        parameters[parameter[1].lower()] = (
            parameter[2] if quoted is None else _QUOTED_PAIR.sub(r"\1", quoted[1:-1])
        )
        position = parameter.end()
        following = _NEXT_PARAMETER.match(value, position)
        if following is None:
            return parameters, position
        position = following.end()


def _challenge(scheme: str, parameters: dict[str, str]) -> Challenge:
    match scheme:
        case "bearer":
            realm = parameters.get("realm", "")
            if not realm:
                raise ChallengeError(
                    "the registry asks for a token but names no realm to get it from"
                )
            if not all(value.isascii() for value in parameters.values()):
                raise _malformed()  # these go into a URL of ours; RFC 6750 section 3
            return BearerChallenge(realm, parameters.get("service"), parameters.get("scope"))
        case "basic":
            return BasicChallenge(parameters.get("realm", ""))
        case _:
            return OtherChallenge(scheme)


def _skip(pattern: re.Pattern[str], value: str, position: int) -> int:
    match = pattern.match(value, position)
    return match.end() if match else position


def _malformed() -> ChallengeError:
    return ChallengeError("the registry's challenge is malformed")
