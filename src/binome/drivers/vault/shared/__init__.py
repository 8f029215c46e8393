"""What vaults share."""
