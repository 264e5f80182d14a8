"""Refine a CUDA kernel against a PyTorch reference, one measured turn at a time."""

__version__ = "0.1.0"
