"""The networks of the paper's Table 1, layer by layer.

The table leaves two things open. The contractive code's activation is the sigmoid of the paper's text (its table says
ReLU). Initial weights are PyTorch's defaults, except that an autoencoder starts out as dark as the images are, see
`START_BIAS`. How a network is trained is `training`'s job.

Table 1 has each ReLU before its max-pooling. Here it stands behind: the largest of the rectified values is the largest
value, rectified. PyTorch's layers give the same values and gradients to the bit in both orders; in this one a training
step took about a seventh less time.

Shape letters: N images, C channels, H and W pixels.
"""

from collections.abc import Sequence
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from magnet_helpers.contracts import as_count, check_shape

IMAGE_SHAPE = (1, 28, 28)
CODE_SHAPE = (32, 7, 7)
CODE_SIZE = 32 * 7 * 7
# The sigmoid of this is 0.13, the mean pixel of MNIST. With the usual bias of 0 the first reconstructions are grey, the
# first hundred steps do nothing but darken them, and in that time the ReLU units may die: the output stays constant for
# ever. It is a likely cause of the paper's "does not converge", and this start avoids that phase.
START_BIAS = -1.9


LayerT = TypeVar("LayerT", nn.Conv2d, nn.ConvTranspose2d)


def _starting_dark(last: LayerT) -> LayerT:
    nn.init.constant_(cast("Tensor", last.bias), START_BIAS)
    return last


def _grey(images: Tensor) -> Tensor:
    if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        return images  # to a trace the shape is one more input of the network
    return check_shape(images, IMAGE_SHAPE[0], IMAGE_SHAPE[1:])


class ConvClassifier(nn.Module):
    """The classifier that is attacked: 1,643,370 parameters.

    Maps images (N, 1, 28, 28) in [0, 1] to logits (N, 10). Source: Table 1.

    Args:
        n_classes: of other images than MNIST's.

    >>> ConvClassifier()(torch.rand(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """

    def __init__(self, n_classes: int = 10) -> None:
        super().__init__()
        n_classes = as_count("n_classes", n_classes, least=2)
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, 5, padding="same"),  # (N, 32, 28, 28)
            nn.MaxPool2d(2),  # (N, 32, 14, 14)
            nn.ReLU(),
            nn.Conv2d(32, 32, 5, padding="same"),
            nn.MaxPool2d(2),  # (N, 32, 7, 7)
            nn.ReLU(),
        )
        self.head = nn.Sequential(
            nn.Flatten(),  # (N, 1568)
            nn.Linear(CODE_SIZE, 1024),
            nn.ReLU(),
            nn.Linear(1024, n_classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N, 10) of images (N, 1, 28, 28)."""
        logits: Tensor = self.head(self.features(_grey(images)))
        return logits


class ConvAutoencoder(nn.Module):
    """The vanilla and the denoising autoencoder: 19,105 parameters.

    Maps images (N, 1, 28, 28) in [0, 1] to images of the same shape and range. The code has 32·7·7 = 1568 numbers,
    twice as many as the image has pixels: nothing but the training keeps this network from copying its input.
    Source: Table 1.

    Args:
        decoder_width: filters of the first transposed convolution. The paper says 32, its program uses 64.

    >>> network = ConvAutoencoder()
    >>> network(torch.rand(2, 1, 28, 28)).shape, network.encode(torch.rand(2, 1, 28, 28)).shape
    (torch.Size([2, 1, 28, 28]), torch.Size([2, 1568]))
    """

    def __init__(self, decoder_width: int = 32) -> None:
        super().__init__()
        decoder_width = as_count("decoder_width", decoder_width, least=1)
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding="same"),  # (N, 32, 28, 28)
            nn.MaxPool2d(2),  # (N, 32, 14, 14)
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding="same"),
            nn.MaxPool2d(2),  # (N, 32, 7, 7)
            nn.ReLU(),
        )
        last = _starting_dark(nn.ConvTranspose2d(decoder_width, 1, 3, stride=2, padding=1, output_padding=1))
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(32, decoder_width, 3, stride=2, padding=1, output_padding=1),
            nn.ReLU(),  # (N, decoder_width, 14, 14)
            last,
            nn.Sigmoid(),  # (N, 1, 28, 28)
        )

    def encode(self, images: Tensor) -> Tensor:
        """Return the codes (N, 1568) of images (N, 1, 28, 28)."""
        code: Tensor = self.encoder(_grey(images))
        return code.flatten(start_dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        """Return the images (N, 1, 28, 28) of codes (N, 1568)."""
        images: Tensor = self.decoder(codes.view(-1, *CODE_SHAPE))
        return images

    def forward(self, images: Tensor) -> Tensor:
        """Return the reconstructions (N, 1, 28, 28) of images (N, 1, 28, 28)."""
        code = self.encoder(_grey(images))
        reconstructions: Tensor = self.decoder(code)  # a code that is not flattened need not be copied
        return reconstructions


class ContractiveAutoencoder(ConvAutoencoder):
    """The contractive autoencoder: 2,479,297 parameters.

    The encoder of `ConvAutoencoder`, then a dense layer of 1568 sigmoid units (the code whose Jacobian is
    penalised), then the same decoder. Source: Table 1; the sigmoid from the paper's text.
    """

    def __init__(self, decoder_width: int = 32) -> None:
        super().__init__(decoder_width)
        self.dense = nn.Linear(CODE_SIZE, CODE_SIZE)

    def features(self, images: Tensor) -> Tensor:
        """Return what the dense layer sees, (N, 1568), of images (N, 1, 28, 28)."""
        return super().encode(images)

    def encode(self, images: Tensor) -> Tensor:
        """Return the codes (N, 1568) in (0, 1) of images (N, 1, 28, 28)."""
        return torch.sigmoid(self.dense(self.features(images)))

    def forward(self, images: Tensor) -> Tensor:
        """Return the reconstructions (N, 1, 28, 28) of images (N, 1, 28, 28)."""
        return self.decode(self.encode(images))


class PublishedContractiveAutoencoder(ContractiveAutoencoder):
    """`ContractiveAutoencoder` as the author's program has it: it remembers the dense layer's first weights.

    The program computes its penalty from a copy of the weights that training never updates. The copy is a buffer:
    no parameter, and not saved. See `losses.PublishedContractiveLoss`.
    """

    initial_weight: Tensor

    def __init__(self, decoder_width: int = 64) -> None:
        super().__init__(decoder_width)
        copy = self.dense.weight.detach().clone()
        self.register_buffer("initial_weight", copy, persistent=False)


class StackedAutoencoder(nn.Module):
    """Autoencoders in a row: the output *image* of one is the input of the next. By hand in lesson 04.

    Args:
        stages: at least one autoencoder that maps images to images. They are shared, not copied.

    Raises:
        ValueError: if there is no stage.

    >>> first, second, images = ConvAutoencoder(), ConvAutoencoder(), torch.rand(1, 1, 28, 28)
    >>> torch.equal(StackedAutoencoder([first, second])(images), second(first(images)))
    True
    """

    def __init__(self, stages: Sequence[nn.Module]) -> None:
        super().__init__()
        if not stages:
            raise ValueError("a stack needs at least one autoencoder, got none")
        self.stages = nn.ModuleList(stages)

    def forward(self, images: Tensor) -> Tensor:
        """Return the last stage's images (N, 1, 28, 28)."""
        for stage in self.stages:
            images = stage(images)
        return images


class _GreySequential(nn.Sequential):
    def forward(self, images: Tensor) -> Tensor:
        """Return the reconstructions (N, 1, 28, 28) of images (N, 1, 28, 28)."""
        reconstructions: Tensor = super().forward(_grey(images))  # type: ignore[no-untyped-call]
        return reconstructions


class MagNetAutoencoder1(_GreySequential):
    """MagNet's own reformer and first detector for MNIST: 310 parameters, a code of 588 numbers.

    Three filters everywhere, sigmoid everywhere, one average-pooling. Source: D. Meng and H. Chen, "MagNet" (2017),
    Table 2. Maps images (N, 1, 28, 28) in [0, 1] to images of the same shape.
    """

    def __init__(self) -> None:
        super().__init__(
            *(nn.Conv2d(1, 3, 3, padding="same"), nn.Sigmoid()),
            nn.AvgPool2d(2),  # (N, 3, 14, 14)
            *(nn.Conv2d(3, 3, 3, padding="same"), nn.Sigmoid()),
            *(nn.Conv2d(3, 3, 3, padding="same"), nn.Sigmoid()),
            nn.Upsample(scale_factor=2),  # (N, 3, 28, 28)
            *(nn.Conv2d(3, 3, 3, padding="same"), nn.Sigmoid()),
            *(_starting_dark(nn.Conv2d(3, 1, 3, padding="same")), nn.Sigmoid()),
        )


class MagNetAutoencoder2(_GreySequential):
    """MagNet's own second detector for MNIST: 142 parameters, and no bottleneck at all. Source as above."""

    def __init__(self) -> None:
        super().__init__(
            *(nn.Conv2d(1, 3, 3, padding="same"), nn.Sigmoid()),
            *(nn.Conv2d(3, 3, 3, padding="same"), nn.Sigmoid()),
            *(_starting_dark(nn.Conv2d(3, 1, 3, padding="same")), nn.Sigmoid()),
        )


def restart_like_keras(model: nn.Module) -> None:
    """Give every layer the initial weights that Keras gives by default: Glorot's uniform ones, and biases of 0.

    The author's program begins so; see `START_BIAS` for what follows from it. Glorot & Bengio 2010, equation 16.
    """
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
