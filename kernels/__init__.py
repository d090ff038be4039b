"""Kernels of the model: each op in plain torch, which defines it and runs anywhere, and in Triton, which is fast on a GPU."""
