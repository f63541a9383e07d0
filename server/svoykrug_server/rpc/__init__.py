"""The edge: what happens to a call before and after the feature that answers it."""
