"""What is happening and what to do: facts, the state they add up to, and the one function that decides. Pure."""
