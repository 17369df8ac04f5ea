"""What is approved: signed statements, read from Postgres and kept on disk; and who may pull."""
