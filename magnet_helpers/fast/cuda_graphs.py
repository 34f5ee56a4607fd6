"""A training step on a GPU as one CUDA graph.

A step of these networks is some sixty kernels, most of them shorter than the time that Python needs to launch one. The
graph holds them all: it is recorded once and launched with one call.
"""

from collections.abc import Callable, Mapping
from threading import Lock

import torch
from torch import Tensor

from magnet_helpers.fast.switch import is_allowed

_WARM_UP_STEPS = 3
_ONE_AT_A_TIME = Lock()


def are_usable(device: torch.device) -> bool:
    """Return whether a step on this device can be a CUDA graph."""
    return device.type == "cuda" and is_allowed()


def captured(
    step: Callable[[Tensor], None], state: Callable[[], Mapping[str, Tensor]], batch: Tensor, noise: torch.Generator
) -> Callable[[Tensor], None]:
    """Return what does the same as `step`, by a CUDA graph for batches of one size, by `step` itself for others.

    Before it is recorded, the step is run a few times (libraries choose their algorithms then), and what it changed is
    put back.

    Args:
        step: works on the tensors that its argument, the numbers of a batch's images, selects.
        state: returns all tensors that a step changes, by name; what appears with the first step must begin as 0.
        batch: numbers of images on the GPU, of the size to record. The graph reads its batches from this tensor.
        noise: the generator on the GPU that the step draws from.
    """
    with _ONE_AT_A_TIME:
        before = {name: tensor.clone() for name, tensor in state().items()}
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP_STEPS):
                step(batch)
        torch.cuda.current_stream().wait_stream(stream)
        for name, tensor in state().items():
            if name in before:
                tensor.copy_(before[name])
            else:
                tensor.zero_()
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(noise)
        # Other threads train other networks meanwhile, and may ask for memory: that is no error of this recording.
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            step(batch)

    def replay(indices: Tensor) -> None:
        if len(indices) == len(batch):
            batch.copy_(indices)
            graph.replay()
        else:
            step(indices)

    return replay
