"""Analytics: who the best members are, who is about to leave and why."""
