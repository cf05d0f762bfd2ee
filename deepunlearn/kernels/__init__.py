"""Faster ways through a network on the CPU, behind one switch: `runtime.cpu_kernels=auto|off`.

Each gives the same up to rounding, so the switch is no part of a result's identity. `choice` decides; which kernel is
used when is in docs/performance.md. With `off`, layers, layouts, optimisers and malloc are as PyTorch has them.
"""
