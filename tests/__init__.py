"""Binôme, tested."""
