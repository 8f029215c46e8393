"""What several probes need: words for what they found, whom they may reach, a bounded HTTP exchange."""
