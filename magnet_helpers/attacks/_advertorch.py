"""The one place that imports advertorch, which was last released for PyTorch 1.x.

Two names are missing when advertorch 0.2.3 is imported today, and neither is used by the attacks of this package:
`torch.autograd.gradcheck.zero_gradients` was removed in PyTorch 1.9 (only advertorch's FAB calls it), and
`torchvision.transforms` is wanted by its JPEG filter. Both are supplied for the import; a stand-in for torchvision is
taken away again afterwards, so that no other code mistakes it for the real one.
"""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import torch.autograd  # noqa: F401  (makes sure that the module below is loaded)
from torch import Tensor


def zero_gradients(tensor: Tensor) -> None:
    """Set the gradient of a leaf tensor to zero, as PyTorch's removed function of this name did."""
    if tensor.grad is not None:
        tensor.grad.detach_().zero_()


class _NotHere:
    """Stands in for a class of torchvision that advertorch makes an object of and that the course never uses."""

    def __call__(self, *_: object) -> None:
        raise ImportError("advertorch's JPEG filter needs torchvision: install it to use that filter")


@contextmanager
def _names_that_advertorch_wants() -> Iterator[None]:
    # `torch.autograd.gradcheck` as an attribute is a function of that name: the module is in sys.modules.
    gradcheck = sys.modules["torch.autograd.gradcheck"]
    if not hasattr(gradcheck, "zero_gradients"):
        gradcheck.zero_gradients = zero_gradients  # type: ignore[attr-defined]
    stand_ins = {}
    if importlib.util.find_spec("torchvision") is None:
        package, transforms = ModuleType("torchvision"), ModuleType("torchvision.transforms")
        # advertorch makes one of each as it is imported, for its JPEG filter alone.
        for name in ("ToPILImage", "ToTensor"):
            setattr(transforms, name, _NotHere)
        package.transforms = transforms  # type: ignore[attr-defined]
        stand_ins = {"torchvision": package, "torchvision.transforms": transforms}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name in stand_ins:
            del sys.modules[name]


with _names_that_advertorch_wants():
    from advertorch.attacks import (
        Attack,
        CarliniWagnerL2Attack,
        DDNL2Attack,
        ElasticNetL1Attack,
        GradientSignAttack,
        JacobianSaliencyMapAttack,
        L2PGDAttack,
        LinfBasicIterativeAttack,
        LinfMomentumIterativeAttack,
        LinfPGDAttack,
        LinfSPSAAttack,
    )

__all__ = [
    "Attack",
    "CarliniWagnerL2Attack",
    "DDNL2Attack",
    "ElasticNetL1Attack",
    "GradientSignAttack",
    "JacobianSaliencyMapAttack",
    "L2PGDAttack",
    "LinfBasicIterativeAttack",
    "LinfMomentumIterativeAttack",
    "LinfPGDAttack",
    "LinfSPSAAttack",
]
