"""llama.cpp: GGUF files, the child process that holds models, and the parent's side of each."""
