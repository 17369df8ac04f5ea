"""HTTP and TLS: sockets, connections, calls, routes, problems. It knows nothing of registries."""
