"""The control plane: operators connect and approve registries; it seals and signs, never opens."""
