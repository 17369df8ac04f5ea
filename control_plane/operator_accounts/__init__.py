"""Operators as the API has them: who calls, and who may call."""
