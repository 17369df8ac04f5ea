"""A review as a terminal shows it: two columns if it is wide enough, else one below the other.

Colours only underline what the marks say: `+` new, `-` removed, `~` changed. They are left out
where standard output is no terminal, and with NO_COLOR. In a pipe nothing is cut or folded.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby, zip_longest
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from control_plane.commands.answers import ReviewAnswer, ReviewedLineAnswer
from control_plane.commands.check_words import why_not_told
from control_plane.commands.columns import one_line
from control_plane.commands.connection_list import called, place_of
from control_plane.commands.connection_text import GONE, KEPT, NEW, difference
from control_plane.review.document_lines import Section
from control_plane.review.fingerprint_words import CARRIED_BITS
from control_plane.review.highlights import Weight
from control_plane.review.review import LineChange
from shared.upstream.check import CheckOutcome

WIDE_COLUMNS: Final = 100  # two columns of 40, beside marks and labels
_LABEL_WIDTH: Final = 20
_WORDS_OF_A_LINE: Final = 6

_MARKS: Final[Mapping[str, str]] = {
    LineChange.NEW: "+",
    LineChange.REMOVED: "-",
    LineChange.CHANGED: "~",
    LineChange.SAME: " ",
}
_STYLES: Final = {KEPT: "", GONE: "red", NEW: "green"}
_WEIGHTS: Final[Mapping[str, tuple[str, str]]] = {
    Weight.DANGER: ("DANGER ", "bold red"),
    Weight.CAUTION: ("caution", "yellow"),
}


def print_review(shown: ReviewAnswer, width: int | None, *, stderr: bool = False) -> None:
    """Print a review; a width of None is that of no terminal."""
    console = Console(highlight=False, markup=False, emoji=False, width=width, stderr=stderr)

    def print_lines(texts: Iterable[Text]) -> None:
        for text in texts:
            console.print(text, soft_wrap=width is None)

    print_lines(_head(shown))
    if width is None:
        print_lines(Text("  ").join(pair) for pair in _standing_out(shown))
    else:
        console.print(_beside_one_another(_standing_out(shown)))
    console.print()
    if width is not None and width >= WIDE_COLUMNS and shown["approved"]:
        console.print(_side_by_side(shown))
    else:
        print_lines(_stacked(shown))
    print_lines(_fingerprint(shown))


def _head(shown: ReviewAnswer) -> Iterator[Text]:
    """Yield what it is, and what it is compared with."""
    made = f"{_called(shown['made_by'], shown['made_by_name'])} made it at {shown['made_at']}"
    if shown["is_draft"]:
        yield _text(f"Draft of {place_of(shown)}; {made}", "bold")
    else:
        yield _text(f"{place_of(shown)}: nothing waits, and this would be approved again", "bold")
    yield _text(_compared(shown))
    yield _text(_checked(shown))
    if back := shown["sent_back"]:
        who = f"{called(shown, back['by'])} at {back['at']}"
        yield _text(f"Sent back by {who}: {back['comment']}", "bold yellow")
    if shown["problem"]:
        yield _text(f"Not believed: {shown['problem']}", "bold red")
    yield Text("")


def _standing_out(shown: ReviewAnswer) -> Iterator[tuple[Text, Text]]:
    """Yield what stands out, and what a facade refuses, each with its weight."""
    for highlight in shown["highlights"]:
        weight = highlight["weight"]
        word, style = _WEIGHTS.get(weight, (weight, ""))
        again = "" if highlight["is_new"] or not shown["approved"] else " (as before)"
        yield Text(word, style), _text(f"{highlight['words']}{again}")
    for note in shown["notes"]:
        yield Text("note   "), _text(f"{note}.")


def _beside_one_another(pairs: Iterable[tuple[Text, Text]]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for pair in pairs:
        table.add_row(*pair)
    return table


def _checked(shown: ReviewAnswer) -> str:
    """Return whether the registry knows the login, in a sentence."""
    check = shown["check"]
    if check["outcome"] == CheckOutcome.PASSED:
        return "The registry accepted the login when it was made."
    why = why_not_told(shown["host"], check["problem"])
    return why if why.endswith("?") else f"{why}."


def _compared(shown: ReviewAnswer) -> str:
    present = shown["approved"]
    if present is None:
        return "Nothing of it was approved before: all of it is new."
    until = f"until {present['expires_at']}" if present["expires_at"] else "without an end"
    who = _called(present["approved_by"], present["approved_by_name"])
    approved = f"{who} approved at {present['approved_at']}, {until}"
    number = shown["changed_terms"]
    changes = f"{number} line{'s' if number != 1 else ''} would change" if number else "no change"
    return f"Compared with what {approved}: {changes}."


def _stacked(shown: ReviewAnswer) -> Iterator[Text]:
    """Yield each line's values below one another, those that go before those that come."""
    for section, lines in groupby(shown["lines"], key=lambda line: line["section"]):
        yield Text(_heading(section), "bold")
        for line in lines:
            before, after = line["before"] or [], line["after"] or []
            if shown["approved"] is None:
                values = [(KEPT, value) for value in after]
            elif line["change"] == LineChange.CHANGED and before == after:
                values = [*((GONE, value) for value in before), *((NEW, value) for value in after)]
            else:
                values = [*difference(before, after)]
            for at, (mark, value) in enumerate(values):
                label = line["label"] if at == 0 else ""
                yield _text(f"  {mark}{label:<{_LABEL_WIDTH}}{value}", _STYLES[mark])


def _heading(section: str) -> str:
    """Return a section's heading; a newer control plane may have others than this program knows."""
    known = {each.value: each.heading for each in Section}
    return known.get(section, one_line(section))


def _side_by_side(shown: ReviewAnswer) -> Table:
    table = Table(box=None, pad_edge=False, expand=True, padding=(0, 2, 0, 0))
    table.add_column("", width=1)
    table.add_column("", width=_LABEL_WIDTH)
    table.add_column("SERVES NOW", ratio=1, overflow="fold", header_style="bold")
    table.add_column("WOULD SERVE", ratio=1, overflow="fold", header_style="bold")
    for section, lines in groupby(shown["lines"], key=lambda line: line["section"]):
        table.add_row("", Text(_heading(section), "bold"))
        for line in lines:
            _add_line(table, line)
    return table


def _add_line(table: Table, line: ReviewedLineAnswer) -> None:
    before, after = line["before"] or [], line["after"] or []
    is_all_other = line["change"] == LineChange.CHANGED and before == after
    cells = (
        [_text(each, "red" if is_all_other or each not in after else "") for each in before],
        [_text(each, "green" if is_all_other or each not in before else "") for each in after],
    )
    for at, (one, other) in enumerate(zip_longest(*cells)):
        is_first = at == 0
        mark = _MARKS.get(line["change"], "?") if is_first else ""
        label = Text(f"  {line['label']}") if is_first else ""
        table.add_row(mark, label, one or "", other or "")


def _fingerprint(shown: ReviewAnswer) -> Iterator[Text]:
    yield Text("")
    yield Text("Fingerprint", "bold")
    yield _text(f"    {shown['fingerprint']}")
    words = shown["fingerprint_words"]
    for begin in range(0, len(words), _WORDS_OF_A_LINE):
        yield _text(f"    {' '.join(words[begin : begin + _WORDS_OF_A_LINE])}", "bold")
    yield _text(
        f"    The words carry its first {CARRIED_BITS} bits, to compare by voice; the hexadecimal"
        " has all 256."
    )


def _called(identity: str, name: str | None) -> str:
    """Return how people call somebody, with the identity that is signed."""
    return f"{name} ({identity})" if name else identity


def _text(words: str, style: str = "") -> Text:
    """Return words without anything that steers a terminal."""
    return Text(one_line(words), style)
