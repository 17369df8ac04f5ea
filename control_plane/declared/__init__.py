"""Connections as files say them: read, laid over one another, and held against what is there."""
