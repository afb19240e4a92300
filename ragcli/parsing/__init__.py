"""SourceFile -> Document: one file per format, run in limited child processes by `pool.ParserPool`."""
