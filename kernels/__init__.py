"""Ops of the model: each in plain PyTorch, which defines it and runs anywhere, and in Triton, which is fast on a GPU."""
