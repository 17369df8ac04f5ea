"""What each provider turns into a short-lived credential."""
