"""The preflight: reality held against the file, once."""
