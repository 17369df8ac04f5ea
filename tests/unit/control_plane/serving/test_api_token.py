"""What `CONTROL_PLANE_TOKEN` may be, said before anything is sent."""

from pathlib import Path

import pytest

from control_plane.prefix import PREFIX
from control_plane.serving.config import AuditListSettings, ClientSettings
from shared.environment import ConfigurationError, load

CANARY = "rfo_alice.canary"


@pytest.mark.parametrize(
    "text, words",
    [
        (f"{CANARY}\n", "it has a line break"),
        (f"{CANARY}\r\nX-Other: x", "it has a line break"),
        (f"\n{CANARY}", "it has a line break"),
        (f" {CANARY}", "it has a space or another character that no token has"),
        (f"Bearer {CANARY}", "it has a space or another character that no token has"),
        (f"{CANARY}\x00", "it has a space or another character that no token has"),
        (f"{CANARY}ü", "it has a space or another character that no token has"),
    ],
)
@pytest.mark.parametrize("cls", [ClientSettings, AuditListSettings])
def test_what_no_header_carries_is_refused_in_words(cls: type, text: str, words: str) -> None:
    """A wrong setting, exit 2; nothing of it is quoted."""
    with pytest.raises(ConfigurationError) as refused:
        load(cls, PREFIX, {"CONTROL_PLANE_TOKEN": text})
    (problem,) = refused.value.problems
    assert problem.startswith(f"CONTROL_PLANE_TOKEN: {words}")
    assert "canary" not in problem


def test_the_last_line_break_of_a_file_is_no_part_of_it(tmp_path: Path) -> None:
    """As of any setting that is read from a file."""
    file = tmp_path / "token"
    file.write_text(f"{CANARY}\n")
    settings = load(ClientSettings, PREFIX, {"CONTROL_PLANE_TOKEN_FILE": str(file)})
    assert settings.token is not None
    assert settings.token.reveal_text() == CANARY
