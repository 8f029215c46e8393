"""The hands: one folder a family, one module a driver, none of which knows of another."""
