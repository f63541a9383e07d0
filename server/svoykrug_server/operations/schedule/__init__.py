"""What is done again and again: once a period however many workers run, made up after downtime."""
