"""What is signed: acts, statements, the chain of the audit log, and what may be believed."""
