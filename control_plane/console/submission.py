"""What a form sends, read within bounds, and how it is shown again if it was refused. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl

from attrs import field, frozen

from control_plane.errors import FieldError, UnreadableBodyError
from shared.outside_bytes import Party, reads_bytes_of

MAX_FORM_BYTES: Final = 384 * 1024  # 128 KiB, as a call of the API may have, percent-encoded
# Of whoever has no session of ours, not even one that is over. 900 of them are held at once.
MAX_STRANGERS_FORM_BYTES: Final = 64 * 1024
MAX_FORM_FIELDS: Final = 500
FORM_TOKEN: Final = "form_token"  # noqa: S105  # a field's name


@frozen
class Submission:
    """The fields of a form that was sent; each may be there several times."""

    values: Mapping[str, Sequence[str]] = field(repr=False)  # there may be secrets among them

    def text(self, name: str) -> str:
        """Return the text of a field without blanks around it; empty if it is absent."""
        return self.values.get(name, ("",))[0].strip()

    def verbatim(self, name: str) -> str:
        """Return the text of a field as it was typed, as secrets are read; empty if absent."""
        return self.values.get(name, ("",))[0]

    def lines(self, name: str) -> list[str]:
        """Return the lines of a field that are not blank."""
        return [line.strip() for line in self.verbatim(name).splitlines() if line.strip()]

    def chosen(self, name: str) -> list[str]:
        """Return every value of a field: of boxes, those that are ticked."""
        return [*self.values.get(name, ())]

    def ticked(self, name: str) -> bool:
        """Tell whether a box is ticked."""
        return name in self.values

    def given(self, *names: str) -> dict[str, str]:
        """Return those of these fields that are not blank: what the API would be sent."""
        return {name: text for name in names if (text := self.text(name))}

    def kept(self, secrets: Collection[str]) -> dict[str, tuple[str, ...]]:
        """Return what may be shown again: everything but the secrets and the form's token."""
        left = {*secrets, FORM_TOKEN}
        return {name: tuple(texts) for name, texts in self.values.items() if name not in left}


@reads_bytes_of(Party.STRANGER, Party.OPERATOR)
def parse_submission(body: bytes) -> Submission:
    """Return the fields of `application/x-www-form-urlencoded`; raise `UnreadableBodyError`."""
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_FORM_FIELDS,
        )
    except ValueError:
        raise UnreadableBodyError("this is not a form that we can read") from None
    values: dict[str, list[str]] = {}
    for name, text in pairs:
        values.setdefault(name, []).append(text.replace("\r\n", "\n"))
    return Submission(values)


@frozen
class FormState:
    """How a form is shown: empty, or as it was refused."""

    values: Mapping[str, Sequence[str]] = field(factory=dict)
    errors: Mapping[str, Sequence[str]] = field(factory=dict)  # by field
    problems: Sequence[str] = ()  # of no field in particular
    check: Mapping[str, object] | None = None  # of a login that the registry refused

    @property
    def was_refused(self) -> bool:
        """Whether something is wrong with it."""
        return bool(self.errors or self.problems)

    def value(self, name: str, default: str = "") -> str:
        """Return what stands in a field."""
        if not self.values:
            return default
        return self.values.get(name, ("",))[0]

    def ticked(self, name: str, value: str | None = None, *, default: bool = False) -> bool:
        """Tell whether a box is ticked, or the one of a value."""
        if not self.values:
            return default
        return name in self.values and (value is None or value in self.values[name])


def refused(
    submission: Submission,
    secrets: Collection[str],
    errors: Iterable[FieldError],
    problems: Sequence[str] = (),
) -> FormState:
    """Return the state of a form whose errors stand beside their fields, or on top of it."""
    by_field: dict[str, list[str]] = {}
    on_top = [*problems]
    for name, detail in _by_field(errors):
        if name in submission.values:
            by_field.setdefault(name, []).append(detail)
        else:
            on_top.append(f"{name}: {detail}" if name else detail)
    return FormState(submission.kept(secrets), by_field, on_top)


def _by_field(errors: Iterable[FieldError]) -> Iterator[tuple[str, str]]:
    for error in errors:
        pointer = error.parameter or error.pointer.removeprefix("/")
        yield pointer.partition("/")[0], error.detail
