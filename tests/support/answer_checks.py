"""What the facade's answers have in common."""

from tests.support.raw_http import RawAnswer


def require_error_headers(answer: RawAnswer) -> None:
    """Fail unless the answer is an OCI error's, and says nothing of our software."""
    assert answer.header("Content-Type") == "application/json"
    assert answer.header("X-Request-Id")
    assert answer.header("Server") == "registry-facade"
    assert answer.header("Cache-Control") is None


def require_same(one: RawAnswer, other: RawAnswer) -> None:
    """Fail unless both are the same but for id and date."""
    varying = {"x-request-id", "date"}

    def comparable(answer: RawAnswer) -> object:
        headers = [(name, value) for name, value in answer.headers if name.lower() not in varying]
        return answer.version, answer.status, headers, answer.body

    assert comparable(one) == comparable(other)
    assert one.status == 200


def require_same_refusal(one: RawAnswer, other: RawAnswer) -> None:
    """Fail unless both are the same bytes, in the same order, but for request id and date."""
    assert _without_id(one) == _without_id(other)


def _without_id(answer: RawAnswer) -> object:
    request_id = answer.header("X-Request-Id")
    assert request_id
    headers = [
        (name, "" if name.lower() == "date" else value.replace(request_id, "<id>"))
        for name, value in answer.headers
    ]
    return answer.version, answer.status, headers, answer.body.replace(request_id.encode(), b"")
