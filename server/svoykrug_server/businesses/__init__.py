"""Partner businesses and the people who work there."""
