"""What botocore raises, in our own words, because its texts quote keys, requests and answers."""

from typing import Final

from botocore import exceptions as botocore

from shared.upstream.errors import (
    ConnectError,
    CredentialRefusedError,
    RateLimitedError,
    ServerError,
    Step,
    TokenExchangeError,
    UpstreamError,
    UpstreamTimeoutError,
)

_NO_IDENTITY: Final = (
    botocore.NoCredentialsError,
    botocore.PartialCredentialsError,
    botocore.CredentialRetrievalError,
    botocore.MetadataRetrievalError,
    botocore.TokenRetrievalError,
    botocore.UnknownCredentialError,
    botocore.ProfileNotFound,
    botocore.ConfigParseError,
    botocore.SSOError,
)
_TIMEOUTS: Final = (botocore.ConnectTimeoutError, botocore.ReadTimeoutError, TimeoutError)
_UNREACHABLE: Final = (botocore.ConnectionError, botocore.HTTPClientError, OSError)

# AWS's error codes, "Common errors" of its API references.
_THROTTLING: Final = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "SlowDown",
        "TooManyRequestsException",
    }
)
_IDENTITY_REFUSED: Final = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidClientTokenId",
        "MissingAuthenticationToken",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_REGION_DISABLED: Final = "RegionDisabledException"


def aws_error(error: Exception, step: Step) -> UpstreamError:
    """Return our error for what a call of AWS raised at a step."""
    match error:
        case UpstreamError():
            error.step = step
            return error
        case botocore.ClientError():
            return _error_of_answer(error, step)
        case _ if isinstance(error, _NO_IDENTITY):
            return CredentialRefusedError("the facade has no AWS identity", step=step)
        case _ if isinstance(error, _TIMEOUTS):
            return UpstreamTimeoutError("AWS did not answer in time", step=step)
        case _ if isinstance(error, _UNREACHABLE):
            return ConnectError("AWS cannot be reached", step=step)
        case _:  # whatever its parsers make of an answer that is none
            unreadable = TokenExchangeError("AWS answers in another form than expected", status=200)
            unreadable.step = step
            return unreadable


def _error_of_answer(error: botocore.ClientError, step: Step) -> UpstreamError:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = error.response.get("Error", {}).get("Code")
    if code in _THROTTLING:
        return RateLimitedError(retry_after=None, step=step)
    if status >= 500:  # noqa: PLR2004 - HTTP's class of server errors
        return ServerError(status, step=step)
    return CredentialRefusedError(_refusal(code, step), status=status, step=step)


def _refusal(code: object, step: Step) -> str:
    if code == _REGION_DISABLED:
        return "STS is not enabled in the registry's region"
    if step is not Step.ASSUME_ROLE:
        return "the assumed role may not ask ECR for a token"
    if code in _IDENTITY_REFUSED:
        return "AWS does not accept the facade's own identity, or this machine's clock is wrong"
    return "the role does not let the facade's identity assume it, or not with this external id"
