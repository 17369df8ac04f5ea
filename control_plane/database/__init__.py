"""The way to Postgres, and the schema that is brought to it."""
