"""What restoring by several methods shares."""
