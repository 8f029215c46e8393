"""Binôme: a resilience control plane."""
