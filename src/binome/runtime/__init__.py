"""The loops that carry the decisions out."""
