"""Who may call: operators, their tokens and roles; and how much strangers may cost."""
