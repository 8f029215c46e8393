"""The estate reader, tested."""
