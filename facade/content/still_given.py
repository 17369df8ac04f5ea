"""Whether the registry still gives what a right is about, asked so that it costs little."""

from contextlib import suppress
from typing import Final

from facade.arrivals.given_blob import require_given_blob
from facade.content.manifest import fetch_manifest
from facade.registries.upstream import Upstream
from facade.values.piece import WrongBytesError
from facade.values.pull_path import Pull
from shared.oci import Kind
from shared.upstream.errors import (
    CredentialRefusedError,
    GoneError,
    NotInRegistryError,
    PolicyDeniedError,
    Step,
    UnexpectedAnswerError,
)

_DENIALS: Final = (401, 403)  # statuses that deny the login; and what is denied whoever asks:
_NOT_THERE: Final = (GoneError, NotInRegistryError, PolicyDeniedError)


async def may_still_read(upstream: Upstream, pull: Pull, with_head: bool) -> bool:  # noqa: FBT001 - `MayStillRead` has no names
    """Tell whether the registry still gives a digest; raise `UpstreamError` if it does not say.

    A manifest is asked for by HEAD first, because Docker Hub counts GETs. Some registries refuse
    every HEAD, so only the answer to a GET can deny the right.
    """
    if with_head and pull.kind is Kind.MANIFEST:
        with suppress(CredentialRefusedError, *_NOT_THERE, UnexpectedAnswerError):
            async with upstream.fetch(pull.kind, pull.repository, pull.digest, method="HEAD"):
                return True
    try:
        await require_given(upstream, pull)
    except _NOT_THERE:
        return False
    except CredentialRefusedError as error:
        if error.status in _DENIALS or error.step is Step.EXCHANGE:
            return False
        raise
    return True


async def require_given(upstream: Upstream, pull: Pull) -> None:
    """Return if a GET is answered with the manifest, or with a blob's first byte.

    Raises `UpstreamError`, also for what any web server answers: a login page says nothing.
    """
    if pull.kind is Kind.MANIFEST:  # small, and without ranges; its digest tells
        try:
            await fetch_manifest(upstream, pull.repository, pull.digest)
        except WrongBytesError as error:
            raise UnexpectedAnswerError("the registry gives another manifest") from error
        return
    await require_given_blob(upstream, pull.repository, pull.digest)
