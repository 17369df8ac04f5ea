"""Who may call: operators, their tokens and roles, and what strangers may cost."""
