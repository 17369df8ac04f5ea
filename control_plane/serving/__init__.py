"""The running control plane: settings, routes, health, and what it does beside answering."""
