"""The model store: what is known by name, what is kept on this machine, and how it gets there."""
