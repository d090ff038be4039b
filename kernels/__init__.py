"""Ops of the model, each in plain PyTorch, which defines it and runs anywhere, and in Triton for GPUs."""
