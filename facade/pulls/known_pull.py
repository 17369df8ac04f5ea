"""A pull that is asked again and again, with what is made of it once: log fields, answer's head.

A fleet asks for the same few thousand things all the time. A request's pull is found by its whole
head (`RememberedRequests`) or by its request line (`PullHandler`), and is one of these either way.
"""

from attrs import define, field

from facade.answers.answer_headers import AnswerHead
from facade.values.pull_path import Pull
from shared.oci import Kind
from shared.structured_log import RenderedFields, rendered_fields


@define
class KnownPull:
    """A pull and its method: some 1.5 KiB with what is made of them."""

    method: str  # GET or HEAD
    pull: Pull
    log_fields: RenderedFields = field(init=False, eq=False, repr=False)
    _head: AnswerHead | None = field(default=None, init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Render what its lines in the log say of it."""
        pull = self.pull
        self.log_fields = rendered_fields(
            method=self.method,
            host=pull.host,
            repository=pull.repository,
            kind=pull.kind,
            digest=pull.digest,
        )

    def answer_head(self, media_type: str, length: int, request_id: str) -> bytes:
        """Return the head of the answer with its whole content, up to the empty line."""
        head = self._head
        if head is None or (head.media_type, head.length) != (media_type, length):
            pull = self.pull
            is_blob = pull.kind is Kind.BLOB
            head = self._head = AnswerHead.of(pull.digest, media_type, length, in_ranges=is_blob)
        return head.bytes_now(request_id)
