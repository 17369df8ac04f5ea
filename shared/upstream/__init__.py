"""How either process speaks to a registry: challenges, tokens, redirects, egress."""
