"""CSV imports: files uploaded in chunks, read whatever they look like, tried without writing, written in batches."""
