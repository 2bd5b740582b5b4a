"""Checkpoints: writing and reading them, and going on with a training from one."""
