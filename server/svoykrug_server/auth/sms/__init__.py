"""SMS: a queue in Postgres, a worker that sends from it, and senders."""
