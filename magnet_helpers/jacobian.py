"""How strongly a code reacts to small changes of the image: the squared Frobenius norm of the encoder's Jacobian."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import jvp, vmap

from magnet_helpers.contracts import as_count, check_images, check_pixels, explained
from magnet_helpers.device import without_autocast
from magnet_helpers.fast import contraction

Encoder = Callable[[Tensor], Tensor]


def _squared_norms(products: Tensor) -> Tensor:
    return products.square().flatten(start_dim=1).sum(dim=1)


def jacobian_frobenius_squared(
    encode: Encoder,
    images: Tensor,
    *,
    projections: int | None = None,
    generator: torch.Generator | None = None,
    chunk_size: int = 16,
) -> Tensor:
    r"""Return ‖∂f(x)/∂x‖²_F of each image: shape (N,).

    Exact (`projections=None`): ‖J‖²_F = Σ_i ‖J e_i‖² over the unit vectors e_i of the input, 784 forward-mode
    passes for MNIST. If `encode` is that of a `models.ContractiveAutoencoder`, far fewer do. Random (`projections=k`):
    the mean of ‖J v‖² over k vectors of independent ±1 entries per image, which is unbiased because E[v vᵀ] = I
    (Hutchinson 1990). Both are differentiable in the encoder's weights by one ordinary backward pass: forward mode
    spares the double backward. By hand in lesson 05.

    Args:
        encode: maps images (N, …) to codes (N, …), each image by itself (so no batch normalisation).
        images: shape (N, …).
        projections: number of random vectors per image, or None for the exact value.
        generator: generator of the random vectors, on the CPU or on the images' device.
        chunk_size: unit vectors carried at once in the exact computation; memory grows with it.

    Raises:
        TypeError: if the images are no tensor.
        ValueError: if they are no finite floating-point numbers, or if `projections` is less than 1.

    >>> jacobian_frobenius_squared(lambda images: 3 * images, torch.rand(2, 1, 2, 2))  # four times 3²
    tensor([36., 36.])
    """
    check_images(images, bounded=False)
    if projections is None:
        if not len(images):
            return images.new_zeros(0)
        with without_autocast(images.device), explained(encode, images):
            return _exactly(encode, images, chunk_size)
    return codes_and_frobenius_squared(encode, images, projections=projections, generator=generator)[1]


def _no_inference_tensor(images: Tensor) -> Tensor:
    return images.clone() if images.is_inference() and not torch.is_inference_mode_enabled() else images


def _exactly(encode: Encoder, images: Tensor, chunk_size: int) -> Tensor:
    images = _no_inference_tensor(images)
    if (sooner := contraction.frobenius_squared(encode, images)) is not None:
        return sooner
    images = images.contiguous()  # forward mode writes no tangent beside an expanded tensor
    units = torch.eye(images[0].numel(), dtype=images.dtype, device=images.device)

    def of_unit(unit: Tensor) -> Tensor:
        return _squared_norms(jvp(encode, (images,), (unit.view_as(images[0]).expand_as(images),))[1])

    norms: Tensor = vmap(of_unit, chunk_size=chunk_size)(units)
    return norms.sum(dim=0)


def codes_and_frobenius_squared(
    encode: Encoder, images: Tensor, *, projections: int = 1, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Return the codes f(x), and `jacobian_frobenius_squared` by random projections, shape (N,).

    Forward mode computes the codes anyway: a training that needs both does not encode twice.

    Args:
        encode: maps images (N, …) to codes (N, …), each image by itself.
        images: shape (N, …).
        projections: number of random vectors per image.
        generator: generator of the random vectors, on the CPU or on the images' device.

    Raises:
        ValueError: if `projections` is less than 1.
    """
    projections = as_count("projections", projections, least=None)
    if projections < 1:
        raise ValueError(f"projections must be at least 1 (or None: exact), got {projections}")
    check_pixels(images)
    images = _no_inference_tensor(images).contiguous()  # forward mode writes no tangent beside an expanded tensor
    total = torch.zeros(len(images), dtype=images.dtype, device=images.device)
    source = "cpu" if generator is None else generator.device
    for _ in range(projections):
        signs = torch.randint(0, 2, images.shape, generator=generator, device=source).mul_(2).sub_(1)
        with explained(encode, images):
            sooner = contraction.encode_along(encode, images, signs.to(images))
            codes, products = sooner or jvp(encode, (images,), (signs.to(images),))[:2]
        total = total + _squared_norms(products)
    return codes, total / projections


def sigmoid_layer_frobenius_squared(codes: Tensor, weight: Tensor) -> Tensor:
    """Return ‖∂h/∂z‖²_F of one layer h = σ(W z + b), for each image: shape (N,).

    Closed form Σ_j (h_j (1 − h_j))² Σ_i W_ji² (Rifai et al. 2011, "Contractive auto-encoders", section 3). It is the
    norm with respect to the layer's own input z, and to nothing before it. By hand in lesson 05.

    Args:
        codes: h in (0, 1), shape (N, m).
        weight: W, shape (m, n).

    Raises:
        ValueError: if the shapes do not belong together.

    >>> sigmoid_layer_frobenius_squared(torch.tensor([[0.5, 1.0]]), torch.eye(2))  # (0.5 · 0.5)²; the other adds 0
    tensor([0.0625])
    """
    if codes.ndim != 2 or weight.ndim != 2 or codes.shape[1] != len(weight):
        raise ValueError(
            f"codes must have shape (N, m) and the weight (m, n), got {tuple(codes.shape)} and {tuple(weight.shape)}: "
            "give the codes an axis of images, codes[None]"
        )
    return (codes * (1 - codes)).square() @ weight.square().sum(dim=1)
