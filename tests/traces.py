"""What a call might leave changed: everything that a world is made of, and everything global."""

import logging
import os
import random
import warnings

import numpy as np
import torch


def bits(value):
    """Return numbers as what can be compared bit by bit."""
    if isinstance(value, tuple | list):
        return [bits(each) for each in value]
    if not isinstance(value, torch.Tensor):
        return value
    return (str(value.dtype), tuple(value.shape), value.detach().cpu().contiguous().numpy().tobytes())


def _tensor(value):
    if value is None:
        return None
    version = None if value.is_inference() else value._version
    return (
        id(value),
        version,
        value.requires_grad,
        str(value.device),
        value.is_leaf,
        bits(value),
        _tensor(value.grad if value.is_leaf else None),
    )


def surroundings():
    """Return everything global that a call might leave changed."""
    return {
        "torch's numbers": torch.get_rng_state().numpy().tobytes(),
        "numpy's numbers": repr([np.asarray(part).tobytes() for part in np.random.get_state()[1:]]),  # noqa: NPY002
        "Python's numbers": random.getstate(),
        "dtype": torch.get_default_dtype(),
        "device": str(torch.get_default_device()),
        "gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "autocast": (
            torch.is_autocast_enabled("cpu"),
            torch.get_autocast_dtype("cpu"),
            torch.is_autocast_cache_enabled(),
        ),
        "threads": (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()),
        "warnings": (list(warnings.filters), warnings.showwarning),
        "errors": np.geterr(),
        "cudnn": (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        "matmul": torch.get_float32_matmul_precision(),
        "logging": (
            logging.root.level,
            list(logging.root.handlers),
            logging.getLogger("tests").level,
            logging.getLogger("tests").propagate,
            list(logging.getLogger("tests").handlers),
        ),
        "environment": dict(os.environ),
        "anomaly": torch.is_anomaly_enabled(),
    }


def state(world):
    """Return everything that belongs to a world."""
    seen = {"images": _tensor(world.images), "labels": _tensor(world.labels)}
    for number, network in enumerate(world.networks):
        for name, module in network.named_modules():
            key = f"{number}.{name}"
            seen[key] = (
                module.training,
                sorted(vars(module)),
                len(module._forward_hooks),
                len(module._forward_pre_hooks),
                len(module._backward_hooks),
            )
            for kind in ("_parameters", "_buffers"):
                for each, value in vars(module)[kind].items():
                    seen[f"{key}.{each}"] = _tensor(value)
            if isinstance(generator := vars(module).get("generator"), torch.Generator):
                seen[f"{key}.generator"] = generator.get_state().numpy().tobytes()
    return seen
