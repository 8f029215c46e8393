"""Drivers that act on a server itself."""
