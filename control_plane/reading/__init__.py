"""What callers send, read field by field: every wrong field is named, and no value is quoted."""
