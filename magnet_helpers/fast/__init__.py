"""The same numbers, sooner: compiled loops for CPUs and recorded steps for GPUs. It need not be read.

Nothing here is seen from outside. A network in a reader's hands is plain PyTorch. What runs many networks or many steps
(`training.fit`, `inference`, the attacks) switches the loops on for itself (`switch.sooner`), and they stand in for
nothing but PyTorch's own layers that nobody has changed or listens to (`untouched`). Everything else runs as it is.

Without numba, with one that cannot be imported (a warning says so, once), and with numba's own `NUMBA_DISABLE_JIT=1`
PyTorch's layers run throughout. The environment variable `MAGNET_FAST=0` switches off everything that is in here.

- `switch`: on and off; `untouched`: for whom.
- `fused`: which layers are done at once, by which of the `functions` that PyTorch can differentiate.
- `contraction`: the contractive encoder with a direction, and its exact Jacobian norm.
- `primitives`, `first_layer`, `later_layers`: the loops, which `loops` imports when they are first needed.
- `cuda_graphs`: a training step on a GPU as one graph.
"""
