"""Hands for traffic, a module a kind of edge."""
