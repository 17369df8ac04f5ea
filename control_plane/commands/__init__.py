"""The commands: each reads its settings, builds what it needs, and prints."""
