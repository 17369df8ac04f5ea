"""Verifies signatures with the keys that a provider publishes."""

from collections.abc import Mapping
from typing import Any, Final

import orjson
from attrs import field, frozen
from joserfc import jws
from joserfc.errors import InvalidKeyIdError, JoseError, UnsupportedAlgorithmError
from joserfc.jwk import KeySet
from typing_extensions import override

from control_plane.single_sign_on.presented_token import (
    ALGORITHMS,
    MAX_HEADER_CHARACTERS,
    PresentedToken,
    TokenRefusedError,
)


class UnknownProviderKeyError(Exception):
    """The provider published no such key when it was last asked; it may have a new one."""


class _Registry(jws.JWSRegistry):
    """Headers as providers send them: with parameters that are not registered (`nonce`)."""

    max_header_length = MAX_HEADER_CHARACTERS
    max_signature_length = 2048  # of base64url; RSA of 8192 bits has 1,366

    @override
    def get_alg(self, name: str) -> Any:
        """Return one of ours; `EdDSA` too, whose name is going out of use (RFC 9864)."""
        if name not in ALGORITHMS:
            raise UnsupportedAlgorithmError
        return self.algorithms[name]


_REGISTRY: Final = _Registry(algorithms=ALGORITHMS, strict_check_header=False)


@frozen
class ProviderKeys:
    """The public keys of one answer of the provider."""

    _keys: KeySet = field(repr=False)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._keys.keys)

    def verified_claims(self, token: PresentedToken) -> Mapping[str, Any]:
        """Return the claims that a key of the provider signed.

        Raises `UnknownProviderKeyError` if none of them has the id that the token names, and
        `TokenRefusedError`.
        """
        if token.key_id is None and len(self) > 1:
            raise TokenRefusedError("it does not say which of the provider's keys signed it")
        try:
            verified = jws.deserialize_compact(
                token.secret.reveal(), self._keys, registry=_REGISTRY
            )
        except InvalidKeyIdError:
            raise UnknownProviderKeyError from None
        except (JoseError, ValueError, TypeError):
            raise TokenRefusedError(
                "its signature does not hold by the key of the provider that it names"
            ) from None
        claims = orjson.loads(verified.payload or b"null")
        if not isinstance(claims, dict):
            raise TokenRefusedError("its payload is no object")
        return claims
