"""The vocabulary that the control plane and the facade both speak; it imports neither."""
