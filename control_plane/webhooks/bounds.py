"""Bounds of webhooks that several files need."""

from typing import Final

ATTEMPT_SECONDS: Final = 10.0  # for a whole request; a receiver stores the event and answers
