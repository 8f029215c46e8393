"""What several kinds of senders need."""
