"""What the API does with device revocations: its operations, and their schemas. Pure.

`device_revocations/routes.py` answers them.
"""

from typing import Final

from control_plane.device_revocations.request import MAX_REVOCATIONS
from control_plane.http.http_call import MAX_REVOCATIONS_BODY_BYTES
from control_plane.http.operation import (
    CURSOR,
    CURSOR_RULE,
    ID_BEGINNING,
    LIMIT,
    AnswerShape,
    OperatorsOperation,
    Parameter,
    RequestBody,
    switch,
)
from control_plane.http.schema import (
    BOOLEAN,
    INTEGER,
    TEXT,
    TIME,
    UUID,
    Schema,
    array_of,
    described,
    nullable,
    object_of,
    page_of,
    printable,
    ref,
)
from control_plane.operators.permissions import Role
from control_plane.reading.texts import MAX_REASON_CHARACTERS
from shared.device_id import MAX_DEVICE_ID_CHARACTERS

_NAMED: Final[dict[str, Schema]] = {
    "id": UUID,
    "device": nullable(TEXT),
    "serial": nullable(TEXT),
    "issuer": nullable(TEXT),
}
_SHOWN: Final[dict[str, Schema]] = {
    "id": UUID,
    "device": nullable(described(TEXT, "Verbatim as in the certificate.")),
    "serial": nullable(described(TEXT, "Lower-case hexadecimal without leading zeros.")),
    "issuer": nullable(described(TEXT, "RFC 4514; null: of every issuer.")),
    "reason": nullable(TEXT),
    "revoked_by": nullable(TEXT),
    "revoked_at": nullable(TIME),
    "generation": nullable(INTEGER | {"minimum": 1}),
    "problem": nullable(
        described(TEXT, "What is not believed of the database's rows; revoking again mends it.")
    ),
}

SCHEMAS: Final[dict[str, Schema]] = {
    "DeviceRevocation": object_of(
        _SHOWN
        | {
            "notes": array_of(
                TEXT,
                "Why it may revoke nobody, in words: no certificate of the installation says this"
                " of its device, or that is not known.",
            )
        },
        required=tuple(_SHOWN),
    ),
    "DeviceRevocationPage": page_of("DeviceRevocation"),
    "DeviceRevocationRequest": object_of(
        {
            "device": nullable(
                described(
                    TEXT,
                    "What its certificate says, verbatim: the URI SAN, the DNS SAN,"
                    " or the subject's CN.",
                    minLength=1,
                    maxLength=MAX_DEVICE_ID_CHARACTERS,
                )
            ),
            "serial": nullable(
                described(
                    TEXT,
                    "A certificate's serial number in hexadecimal; case, colons and"
                    " leading zeros do not matter.",
                )
            ),
            "issuer": nullable(
                described(
                    TEXT, "With a serial, the issuer in RFC 4514; without it, of every issuer."
                )
            ),
            "reason": nullable(
                described(
                    printable(MAX_REASON_CHARACTERS),
                    "For people; in the signed statement and the audit log.",
                )
            ),
        },
        "A device or a serial, one of them.",
        required=(),
    ),
    "DeviceRevocationsRequest": object_of(
        {
            "revocations": array_of(
                ref("DeviceRevocationRequest"),
                f"The body has {MAX_REVOCATIONS_BODY_BYTES // 2**20} MiB at most. Who is named"
                " twice is revoked once.",
                minItems=1,
                maxItems=MAX_REVOCATIONS,
            )
        }
    ),
    "DeviceRevocationAnswer": object_of(
        {
            "is_new": described(BOOLEAN, "False: it was revoked already, and stays as it was."),
            "revocation": ref("DeviceRevocation"),
        }
    ),
    "DeviceRevocationAnswers": object_of({"items": array_of(ref("DeviceRevocationAnswer"))}),
    "ConflictingDeviceRevocation": object_of(
        _NAMED, "The device revocation that is in the way.", required=tuple(_NAMED)
    ),
}

_RULES: Final = {
    "device": "or a serial, and not both; what a certificate can say",
    "serial": "hexadecimal digits, with or without colons",
    "issuer": "RFC 4514; with a serial",
}
_ALL: Final = "/v1/device-revocations"
_ONE: Final = f"{_ALL}/{{id}}"
_VIEW: Final = ref("DeviceRevocation")

LIST: Final = OperatorsOperation(
    "GET",
    _ALL,
    "listDeviceRevocations",
    "Every revocation in force, in the order of making; or that of one device or certificate",
    {200: AnswerShape("A page.", ref("DeviceRevocationPage"))},
    parameters=(
        LIMIT,
        CURSOR,
        Parameter("device", TEXT, "Of this device alone."),
        Parameter(
            "serial",
            TEXT,
            "Of certificates of this serial number alone, as it was revoked: with the issuer or"
            " without.",
        ),
        Parameter("issuer", TEXT, "With a serial."),
        switch(
            "any_issuer",
            "With a serial and no issuer: every revocation of this serial number, whichever issuer"
            " it names.",
            default=False,
        ),
        Parameter("id", ID_BEGINNING, "Whose id begins so; not with device or serial."),
    ),
    rules={
        **_RULES,
        "id": "not with a device or a serial",
        "any_issuer": "with a serial, and without an issuer",
        **CURSOR_RULE,
    },
    role=Role.APPROVER,
)
REVOKE: Final = OperatorsOperation(
    "POST",
    _ALL,
    "revokeDevice",
    "Have a device, or one certificate, served no longer: new requests are refused, running"
    " streams cut",
    {
        200: AnswerShape(
            "It was revoked already, and stays as it was; no new statement, and no audit entry.",
            _VIEW,
            headers=("ETag", "Location"),
        ),
        201: AnswerShape(
            "Revoked; the Location header names it.", _VIEW, headers=("ETag", "Location")
        ),
    },
    body=RequestBody("DeviceRevocationRequest"),
    rules={**_RULES, "reason": "printable characters on one line"},
    repeated="200 with the revocation that holds; nothing is changed or recorded.",
    role=Role.APPROVER,
)
REVOKE_SEVERAL: Final = OperatorsOperation(
    "POST",
    f"{_ALL}/batch",
    "revokeDevices",
    f"Revoke up to {MAX_REVOCATIONS:,} devices and certificates at once: all of them, or none",
    {
        200: AnswerShape(
            "Revoked; an answer for each, in the order of the request.",
            ref("DeviceRevocationAnswers"),
        )
    },
    body=RequestBody("DeviceRevocationsRequest"),
    rules={"revocations": "each as in revokeDevice"},
    repeated="200 with those that hold; nothing is changed or recorded.",
    role=Role.APPROVER,
)
SHOW: Final = OperatorsOperation(
    "GET",
    _ONE,
    "showDeviceRevocation",
    "One revocation in force",
    {200: AnswerShape("The view.", _VIEW, headers=("ETag",))},
    role=Role.APPROVER,
)
LIFT: Final = OperatorsOperation(
    "DELETE",
    _ONE,
    "liftDeviceRevocation",
    "Lift a revocation: the device is served again",
    {204: AnswerShape("Lifted.")},
    takes_if_match=True,
    may_conflict=True,
    repeated="404.",
    role=Role.APPROVER,
)
OPERATIONS: Final = (LIST, REVOKE, REVOKE_SEVERAL, SHOW, LIFT)
