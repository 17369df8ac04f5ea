"""The running facade: made from its settings, opened in order, watched, and stopped."""
