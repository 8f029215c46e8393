"""What would happen: every loss of one or two fault domains, before it does."""
