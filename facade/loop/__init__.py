"""The event loop and its threads: work that several wait for, and what keeps the loop free."""
