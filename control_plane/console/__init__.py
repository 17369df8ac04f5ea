"""The console: what operators do, as pages of a browser."""
