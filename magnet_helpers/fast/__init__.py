"""The same numbers, sooner: compiled loops for CPUs and recorded steps for GPUs. It need not be read."""
