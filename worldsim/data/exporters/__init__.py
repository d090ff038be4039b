"""Datasets of ours in the formats of others, and as clips to look at. Importing this loads neither pyarrow
nor PyTorch.
"""
