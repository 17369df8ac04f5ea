"""The database schema: one plain SQL file for each revision, and the grants as a whole."""
