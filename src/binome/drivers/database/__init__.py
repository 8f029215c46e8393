"""Hands for databases, a package a kind."""
