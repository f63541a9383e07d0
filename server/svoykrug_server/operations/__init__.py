"""Long work: started by a call, run by a worker that holds a lease, watched, cancelled, and resumed after a crash."""
