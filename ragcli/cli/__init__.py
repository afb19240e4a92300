"""The terminal: one module per command, and the border where text is made safe."""
