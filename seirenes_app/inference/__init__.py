"""A llama.cpp worker in a process of its own, and the client that speaks to it.

`client` and `models` are for the rest of the app; `worker` is a program. llama.cpp is imported in `llama_bindings`
alone, which only the worker loads: an abort inside it ends the worker and not the window.
"""
