"""The setting of an operator's token: what an HTTP header can carry, on one line."""

from typing import Annotated

from shared.secret import Secret
from shared.setting_types import Form, InvalidSettingError


def parse_api_token(text: str) -> Secret:
    """Return the token; raise `InvalidSettingError`, which quotes nothing of it."""
    if "\n" in text or "\r" in text:
        raise InvalidSettingError("it has a line break: give the token alone, on one line")
    if not all("!" <= letter <= "~" for letter in text):
        raise InvalidSettingError("it has a space or another character that no token has")
    return Secret(text)


ApiToken = Annotated[Secret, Form(parse_api_token, "an operator's token")]
