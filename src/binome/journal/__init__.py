"""The journal, kept: a file of entries on each server, its verification, and the signed heads that bear witness."""
