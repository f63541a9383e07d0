"""Sign-in by code, sessions, access and refresh tokens, signing keys and service accounts."""
