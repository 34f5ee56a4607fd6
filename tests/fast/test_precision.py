"""bfloat16 between the fused layers: the loops round as PyTorch does, and where its layers would."""

import numpy as np
import pytest
import torch
from layers import digits_like, fast, gradients, plainly, random
from numba import njit
from torch.nn import functional as F

from magnet_helpers.fast import contraction, primitives
from magnet_helpers.fast.switch import sooner
from magnet_helpers.models import ContractiveAutoencoder, ConvAutoencoder, ConvClassifier


def test_the_loops_round_to_bfloat16_as_pytorch_does():
    @njit
    def through(numbers, halves, back):
        for i in range(len(numbers)):
            halves[i] = primitives.narrow(numbers[i], halves)
            back[i] = primitives.wide(halves[i])

    ties = (np.arange(1 << 16, dtype=np.uint32) << np.uint32(16)) | np.uint32(0x8000)  # midway between two bfloat16
    numbers = np.concatenate([ties, ties - 1, ties + 1, np.arange(1 << 16, dtype=np.uint32) << np.uint32(16)])
    numbers = numbers.view(np.float32)
    halves, back = np.empty(len(numbers), np.uint16), np.empty_like(numbers)
    through(numbers, halves, back)
    expected = torch.from_numpy(numbers).bfloat16()
    torch.testing.assert_close(torch.from_numpy(back), expected.float(), rtol=0, atol=0, equal_nan=True)
    assert expected.isnan().sum() > 0
    assert expected.isinf().sum() > 0


def rounding_where_the_loops_round(autoencoder, images):
    """The same autoencoder in PyTorch's own operations: products of bfloat16, everything else in float32."""
    conv1, conv2 = autoencoder.encoder[0], autoencoder.encoder[3]
    conv3, last = autoencoder.decoder[0], autoencoder.decoder[2]
    first = F.max_pool2d(conv1(images), 2).relu().bfloat16()
    second = F.conv2d(first, conv2.weight.bfloat16(), padding=1).float() + conv2.bias[:, None, None]
    code = F.max_pool2d(second, 2).relu().bfloat16()
    third = F.conv_transpose2d(code, conv3.weight.bfloat16(), stride=2, padding=1, output_padding=1).float()
    return last((third + conv3.bias[:, None, None]).relu()).sigmoid()


def test_under_autocast_the_loops_round_where_pytorchs_layers_would():
    torch.manual_seed(3)
    network, images = ConvAutoencoder(), digits_like(n=16, dtype=torch.float32)
    expected, expected_gradients = gradients(network, images, rounding_where_the_loops_round)
    with torch.autocast("cpu", torch.bfloat16):
        out = fast(network, images)
    weights = random(*out.shape, seed=9).to(out.dtype)
    got_gradients = torch.autograd.grad((out * weights).sum(), list(network.parameters()))
    # A sum in another order may end on the other side of a rounding: one bfloat16 step, in few places.
    torch.testing.assert_close(out.detach(), expected, rtol=0, atol=2e-4)
    for one, other in zip(got_gradients, expected_gradients[1:], strict=True):
        assert (one - other).norm() / other.norm() < 2e-3


@pytest.mark.parametrize("model", [ConvAutoencoder, ContractiveAutoencoder, ConvClassifier])
def test_bfloat16_products_change_little(model):
    torch.manual_seed(3)
    network, images = model(), digits_like(n=16, dtype=torch.float32)
    expected, expected_gradients = gradients(network, images, plainly)
    with torch.autocast("cpu", torch.bfloat16):
        got, got_gradients = gradients(network, images, fast)
    assert not torch.equal(got.float(), expected)
    torch.testing.assert_close(got.float(), expected, rtol=0.02, atol=0.02)
    for one, other in zip(got_gradients, expected_gradients, strict=True):
        assert one.dtype == torch.float32
        assert torch.cosine_similarity(one.flatten(), other.flatten(), dim=0) > 0.98


def test_bfloat16_products_change_a_change_along_a_direction_little():
    torch.manual_seed(3)
    network, images = ContractiveAutoencoder(), digits_like(n=16, dtype=torch.float32)
    directions = random(*images.shape, dtype=torch.float32).sign()
    with sooner(network):
        expected = contraction.encode_along(network.encode, images, directions)
        with torch.autocast("cpu", torch.bfloat16):
            got = contraction.encode_along(network.encode, images, directions)
    for one, other in zip(got, expected, strict=True):
        assert one.dtype == torch.float32
        assert not torch.equal(one, other)
        assert torch.cosine_similarity(one.flatten(), other.flatten(), dim=0) > 0.99
