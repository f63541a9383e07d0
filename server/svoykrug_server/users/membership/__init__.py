"""What belongs to a membership: consents, referrals, the tier that follows purchases, and the wallet code."""
