"""Which layers do just what PyTorch's own do, with nobody listening: only those may be replaced by something faster."""

import torch
from torch import Tensor, nn
from torch.autograd.forward_ad import unpack_dual
from torch.nn.modules import module as hooks_for_all

_KINDS: tuple[type[nn.Module], ...] = (
    *(nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.MaxPool2d, nn.ReLU, nn.Sequential),
)
_FORWARDS = {kind: kind.forward for kind in _KINDS}
_METHODS = {kind: frozenset(name for parent in kind.__mro__ for name in vars(parent)) for kind in _KINDS}


def is_untouched(layer: nn.Module, kind: type[nn.Module], ours: frozenset[str] = frozenset()) -> bool:
    """Return whether a layer is of exactly this kind, without hooks and without methods of its own.

    Parametrisations make another type of a layer; pruning and PyTorch's older norms of weights are hooks.

    Args:
        layer: the layer.
        kind: one of `_KINDS`.
        ours: methods that the layer may have of its own.
    """
    return (
        type(layer) is kind
        and kind.forward is _FORWARDS[kind]
        and not (layer._forward_hooks or layer._forward_pre_hooks)
        and not (layer._backward_hooks or layer._backward_pre_hooks)
        and vars(layer).keys() & _METHODS[kind] <= ours
    )


def is_followed() -> bool:
    """Return whether PyTorch follows what is computed now, and would not see what a compiled loop does.

    It traces, compiles or transforms, or hooks are registered for all modules.
    """
    return (
        torch.compiler.is_compiling()
        or torch._C._get_tracing_state() is not None
        or torch._C._are_functorch_transforms_active()
        or torch._C._len_torch_dispatch_stack() > 0
        or bool(hooks_for_all._global_forward_pre_hooks or hooks_for_all._global_forward_hooks)
        or bool(hooks_for_all._global_backward_pre_hooks or hooks_for_all._global_backward_hooks)
    )


def are_plain(*tensors: object) -> bool:
    """Return whether these are ordinary dense tensors on the CPU that carry no direction of forward-mode autograd."""
    return all(
        type(tensor) in (Tensor, nn.Parameter)
        and tensor.device.type == "cpu"  # type: ignore[attr-defined]
        and tensor.layout is torch.strided  # type: ignore[attr-defined]
        and unpack_dual(tensor).tangent is None
        for tensor in tensors
    )
