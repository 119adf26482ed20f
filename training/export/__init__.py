"""Checkpoints to what other programs read: Hugging Face folders, LoRA adapters, GGUF. No Qt, no network."""
