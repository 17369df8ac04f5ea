"""AWS's API: roles assumed, and ECR's authorization tokens. The facade alone calls it."""
