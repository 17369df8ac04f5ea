"""What the API does with reviews: its operation, and its schemas. Pure.

`review/routes.py` answers it.
"""

from typing import Final

from control_plane.connections.view_schemas import FINGERPRINT, NAMED, NOTES
from control_plane.http.operation import AnswerShape, OperatorsOperation
from control_plane.http.schema import (
    BOOLEAN,
    INTEGER,
    NAMES,
    TEXT,
    TEXTS,
    TIME,
    Schema,
    array_of,
    described,
    nullable,
    object_of,
    one_of,
    ref,
)
from control_plane.operators.permissions import Role
from control_plane.review.document_lines import Section
from control_plane.review.fingerprint_words import CARRIED_BITS, FINGERPRINT_WORDS
from control_plane.review.highlights import HighlightKind, Weight
from control_plane.review.review import LineChange

_NAME: Final = "How people call a person of single sign-on; null for an operator with a token."

SCHEMAS: Final[dict[str, Schema]] = {
    "Review": object_of(
        {
            **NAMED,
            "is_draft": described(
                BOOLEAN,
                "Whether a draft waits. If not, what serves would be approved once more.",
            ),
            "fingerprint": described(FINGERPRINT, "What an approval names: all 256 bits."),
            "fingerprint_words": array_of(
                TEXT,
                f"To compare by voice: words of BIP-39's English list that carry the first"
                f" {CARRIED_BITS} bits of the fingerprint. An approval never names them.",
                minItems=FINGERPRINT_WORDS,
                maxItems=FINGERPRINT_WORDS,
            ),
            "made_by": TEXT,
            "made_by_name": nullable(TEXT, _NAME),
            "made_at": TIME,
            "names": NAMES,
            "check": ref("RecordedCheck"),
            "sent_back": nullable(
                ref("SentBack"), "An approval of such a draft says despite_send_back."
            ),
            "approved": nullable(
                ref("PresentApproval"), "What the lines are compared with; null: nothing serves."
            ),
            "changed_terms": described(
                INTEGER, "How many lines differ, but for who made it and when.", minimum=0
            ),
            "lines": array_of(
                ref("ReviewedLine"), "All that is approved, in the order in which people read it."
            ),
            "highlights": array_of(
                ref("Highlight"), "What stands out, and what it means: the gravest first."
            ),
            "notes": array_of(TEXT, NOTES),
            "problem": nullable(
                described(TEXT, "What the database holds of this connection and is not believed.")
            ),
            "second_approver": described(
                BOOLEAN, "Whether nobody may approve here what they made."
            ),
            "refusal": nullable(
                described(TEXT, "Why the caller may not approve it now; null: they may.")
            ),
        },
        "What would be approved, against what is approved. Never a secret.",
    ),
    "PresentApproval": object_of(
        {
            "fingerprint": FINGERPRINT,
            "approved_by": TEXT,
            "approved_by_name": nullable(TEXT, _NAME),
            "approved_at": TIME,
            "expires_at": nullable(TIME),
        },
        "The approval that is there.",
    ),
    "ReviewedLine": object_of(
        {
            "name": described(TEXT, "Fixed, for programs."),
            "label": described(TEXT, "For people."),
            "section": one_of(Section),
            "change": one_of(LineChange),
            "before": nullable(TEXTS, "As what serves has it; null: it has no such line."),
            "after": nullable(TEXTS, "As it would be; null: it would have no such line."),
        },
        "A line of both, side by side, in words.",
    ),
    "Highlight": object_of(
        {
            "kind": one_of(HighlightKind),
            "line": described(TEXT, "The name of the line that it is about."),
            "weight": one_of(
                Weight,
                "caution: to be meant; danger: it decides who learns the secret, or what is"
                " reached.",
            ),
            "is_new": described(BOOLEAN, "False: what serves has it, too."),
            "words": TEXT,
        },
        "What stands out.",
    ),
}
REVIEW: Final = OperatorsOperation(
    "GET",
    "/v1/connections/{id}/review",
    "reviewConnection",
    "What an approver is asked: the draft against what serves, or what serves alone",
    {200: AnswerShape("The review.", ref("Review"))},
    may_conflict=True,
    role=Role.VIEWER,
)
OPERATIONS: Final[tuple[OperatorsOperation, ...]] = (REVIEW,)
