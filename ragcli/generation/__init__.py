"""Writers of answers: quotes without a model, llama.cpp in a child process with one."""
