"""The schema, revision by revision; each one runs the SQL file of its name."""
