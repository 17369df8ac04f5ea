"""What an approver sees of a revision before it is approved: every line, and what stands out."""
