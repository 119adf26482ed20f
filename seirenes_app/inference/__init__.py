"""The llama.cpp worker process and its client. Only the worker imports llama.cpp: an abort ends no window."""
