"""Small pure things with a name that every layer may use."""
