"""What callers send, read field by field: every wrong one is named, no value is quoted."""
