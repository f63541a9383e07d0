"""What admins and services do with users: find, change, give roles, shut out, and read what was done."""
