"""What methods of copying share."""
