"""The rules, one module each: the file name is the rule's id. `findings.py` says what a rule is."""
