"""What an index consists of: catalog, words, vectors, lock, and the checks that hold them together."""
