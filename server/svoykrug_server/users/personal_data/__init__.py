"""Her right to see what is kept about her, and to have it erased."""
