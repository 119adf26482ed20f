"""The models of this machine and of the Hugging Face hub: find, download, describe, test."""
