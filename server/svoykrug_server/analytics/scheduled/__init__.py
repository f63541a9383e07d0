"""What analytics does every night, week and month without being asked."""
