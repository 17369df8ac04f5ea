"""One connection's registry: who is asked, with which credential, and when not."""
