"""`facade check`, `tags` and `resolve`."""
