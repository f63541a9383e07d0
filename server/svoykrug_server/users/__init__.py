"""The people of the circle: profiles, consents, referrals, and the accounts that sign-in stands on."""
