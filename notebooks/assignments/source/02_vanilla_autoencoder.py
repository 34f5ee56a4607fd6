# %% [markdown]
# # Assignment 02 · The vanilla autoencoder
#
# {{badges}}
#
# Lesson 02 trained a network to copy, and found that its code is larger than the image. Here you write the error that it is trained with,
# count what an encoder holds, and build the best autoencoder that has no ReLU at all.
#
# {{overview}}

# %%
# {{start}}

# %% [markdown]
# # Part A · Write it
#
# Replace `raise NotImplementedError` with your own lines. Below each task a *check* tells you at once what is off. It may be called
# as often as you like. More tests run when your work is graded: they call your functions by their names, so keep the names.
# A task gives all its points or none. When it is graded, a cell may run for a minute, without internet.

# %% [markdown] task="error" points=3 minutes=10 difficulty="easy"
# ## The error of each image
#
# Return ‖x − x̂‖² of each image: the squared differences, summed over its pixels. The result is a tensor with one number for each image, and the
# gradient must come through it. Do not use the package's own function.
#
# PyTorch *broadcasts*: it stretches a tensor to fit another one. Then a forgotten dimension gives a number and no error. Your function must not: if
# the two shapes differ in any way, raise a `ValueError` that names both.

# %% task="error" part="solution"
import torch


def reconstruction_error(images, reconstructions):
    """Return the squared error of each image, shape (N,), for two tensors of one shape (N, 1, H, W)."""
    ### BEGIN SOLUTION
    if images.shape != reconstructions.shape:
        raise ValueError(f"expected the same shape twice, got {tuple(images.shape)} and {tuple(reconstructions.shape)}")
    return ((images - reconstructions) ** 2).sum(dim=(1, 2, 3))
    ### END SOLUTION


# %%
from magnet_helpers.checks import check_reconstruction_error

check_reconstruction_error(reconstruction_error)

# %% task="error" part="tests"
# More tests run here when your work is graded.
### BEGIN HIDDEN TESTS
import torch

torch.manual_seed(21)
for shape in ((1, 1, 28, 28), (17, 1, 28, 28), (5, 1, 3, 8)):
    first, second = torch.rand(shape), torch.rand(shape).requires_grad_()
    expected = torch.tensor(
        [
            sum((a - b) ** 2 for a, b in zip(x.flatten().tolist(), y.flatten().tolist(), strict=True))
            for x, y in zip(first, second, strict=True)
        ]
    )
    answer = reconstruction_error(first, second)
    assert isinstance(answer, torch.Tensor), f"expected a tensor, got a {type(answer).__name__}"
    assert answer.shape == (shape[0],), (
        f"{shape[0]} images: expected the shape {(shape[0],)}, got {tuple(answer.shape)}"
    )
    assert torch.allclose(answer.float(), expected, rtol=1e-4), f"expected {expected}, got {answer.detach()}"
    assert answer.requires_grad, "no gradient comes through to the reconstructions"
    (gradient,) = torch.autograd.grad(answer.sum(), second)
    assert torch.allclose(gradient, 2 * (second - first), atol=1e-5), "the gradient is not 2·(x̂ − x)"
first = torch.rand(4, 1, 28, 28)
for other in (
    first[:, 0],
    first[:1],
    first[0],
    first[:3],
    torch.rand(4, 28, 28, 1),
    first.flatten(1),
    torch.rand(4, 4, 28, 28),
):
    try:
        reconstruction_error(first, other)
        came = "an answer"
    except Exception as error:
        came = "ValueError" if isinstance(error, ValueError) else type(error).__name__
    assert came == "ValueError", f"{tuple(first.shape)} and {tuple(other.shape)}: expected a ValueError, got {came}"
### END HIDDEN TESTS

# %% [markdown] task="size" points=3 minutes=15 difficulty="medium"
# ## How large is an encoder, and how large its code?
#
# An encoder is given as a list of layers. It gets images of one channel and `side` × `side` pixels.
#
# - `("conv", filters, size)`: a convolution with `filters` filters, each of `size` × `size`, as in Table 1: it keeps height and width ("same"), each filter looks
#   at all channels that come in, and each has a bias.
# - `("pool", size)`: max-pooling over `size` × `size` pixels. Height and width are divided by `size`; a remainder is dropped, so 7 becomes 3.
# - `("dense", units)`: a dense layer with biases, connected to every number that comes in. It can follow any layer. After it come only
#   dense ones.
#
# (ReLU is left out: it has no weights and changes no shape.) Return two whole numbers: how many weights the encoder has, biases
# included, and how many numbers its code has. Compute them with plain arithmetic; build no network.


# %% task="size" part="solution"
def encoder_size(layers, side):
    """Return (weights, numbers in the code) of an encoder for images (N, 1, side, side)."""
    ### BEGIN SOLUTION
    channels, weights = 1, 0
    for kind, width, *size in layers:
        if kind == "conv":
            weights += width * channels * size[0] ** 2 + width
            channels = width
        elif kind == "pool":
            side //= width
        else:
            weights += channels * side**2 * width + width
            channels, side = width, 1
    return weights, channels * side**2
    ### END SOLUTION


# %%
from magnet_helpers.checks import check_encoder_size

check_encoder_size(encoder_size)

# %% task="size" part="tests"
# More tests run here when your work is graded.
### BEGIN HIDDEN TESTS
# Expected values come from networks that PyTorch builds.
import torch
from torch import nn

for layers, pixels in (
    ([("conv", 32, 3), ("pool", 2), ("conv", 32, 3), ("pool", 2)], 28),
    ([("conv", 32, 3), ("pool", 2), ("conv", 32, 3), ("pool", 2), ("dense", 1568)], 28),
    ([("conv", 5, 5), ("conv", 3, 3), ("pool", 4)], 30),
    ([("pool", 2), ("pool", 2), ("pool", 2)], 28),
    ([("dense", 12)], 6),
    ([("conv", 2, 7), ("pool", 2), ("dense", 40), ("dense", 9), ("dense", 3)], 15),
):
    module_list, image = [], torch.zeros(1, 1, pixels, pixels)
    for layer in layers:
        if layer[0] == "conv":
            module_list.append(nn.Conv2d(image.shape[1], layer[1], layer[2], padding="same"))
        elif layer[0] == "pool":
            module_list.append(nn.MaxPool2d(layer[1]))
        else:
            module_list.append(nn.Sequential(nn.Flatten(), nn.Linear(image.numel(), layer[1])))
        image = module_list[-1](image)
    expected = (sum(weight.numel() for module in module_list for weight in module.parameters()), image.numel())
    answer = tuple(encoder_size(list(layers), pixels))
    assert answer == expected, f"{layers} on {pixels}×{pixels} pixels: expected {expected}, got {answer}"
### END HIDDEN TESTS

# %% [markdown] task="linear" points=4 minutes=30 difficulty="hard"
# ## The best linear autoencoder
#
# Take every ReLU, pooling and sigmoid out of an autoencoder. What is left is linear: it keeps `k` numbers of each image, and the least squared error
# that it can reach has been known since 1901. *Principal component analysis* gives it:
#
# 1. Take the mean training image away from each training image.
# 2. Find the `k` directions, at right angles to each other, in which these differences vary most. They are the first `k` right singular
#    vectors of the matrix with one image in each row (`torch.linalg.svd`), or the eigenvectors of its covariance with the `k` largest eigenvalues.
# 3. The code of an image is its difference from the mean training image, measured along the `k` directions. Decoding goes back the same way.
#
# Return the reconstructions of `images`, as images. What is learnt (mean and directions) comes from `train` alone. Height and width are not always 28, and
# there may be fewer training images than pixels. Do not clip the result. Use no library's PCA; a library's SVD or eigenvectors are welcome.


# %% task="linear" part="solution"
def linear_reconstructions(train, images, k):
    """Return the reconstructions (N, 1, H, W) of images by the best linear autoencoder for train (M, 1, H, W)."""
    ### BEGIN SOLUTION
    mean = train.mean(dim=0)
    directions = torch.linalg.svd((train - mean).flatten(start_dim=1), full_matrices=False).Vh[:k]
    codes = (images - mean).flatten(start_dim=1) @ directions.T
    return (codes @ directions).view_as(images) + mean
    ### END SOLUTION


# %%
from magnet_helpers.checks import check_linear_reconstructions

check_linear_reconstructions(linear_reconstructions)

# %% task="linear" part="tests"
# More tests run here when your work is graded.
### BEGIN HIDDEN TESTS
import numpy as np
import torch
from sklearn.decomposition import PCA

numbers = np.random.default_rng(23)
for count, height, width, some, code in ((80, 7, 5, 6, 4), (25, 28, 28, 3, 2), (300, 8, 8, 1, 7)):
    # `code` directions are strong and the rest weak: every sound way finds the same ones
    strong = numbers.normal(size=(count, code)) * np.linspace(1, 2, code)
    axes = np.linalg.qr(numbers.normal(size=(height * width, code)))[0]
    rows = numbers.random(height * width) + strong @ axes.T + 0.02 * numbers.normal(size=(count, height * width))
    others = numbers.random((some, height * width))
    fitted = PCA(code, svd_solver="full").fit(rows)
    expected = fitted.inverse_transform(fitted.transform(others)).reshape(some, 1, height, width)
    known = torch.tensor(rows, dtype=torch.float32).view(count, 1, height, width)
    shown = torch.tensor(others, dtype=torch.float32).view(some, 1, height, width)
    answer = np.asarray(linear_reconstructions(known.clone(), shown.clone(), code), dtype=np.float64)
    assert answer.shape == expected.shape, f"expected the shape {expected.shape}, got {answer.shape}"
    worst = np.abs(answer - expected).max()
    assert worst < 2e-3, f"{count} training images, k = {code}: the worst pixel is off by {worst:.4f}"
### END HIDDEN TESTS

# %% [markdown] part="B"
# # Part B · Look and explain
#
# This part is read by a person. Its cells are not run again when your work is graded: hand in the notebook with the outputs that you
# write about. Below, `lab` trains or loads the networks of lesson 02.

# %% [markdown] task="explain" points=3 minutes=20 difficulty="medium"
# ## Explain what you see
#
# The cell below compares reformers: the vanilla autoencoder, and linear ones with codes of different size. For each it prints the mean
# squared error on clean test images (lower is a better copy), the mean squared distance from the reformed attacked image to the clean one, and the
# accuracy on clean and on attacked images (grey box) in percent.
#
# Which one copies best? Which one is the best reformer? Why is that not the same one, and what becomes worse when the code is very small? Answer
# in four to eight sentences, with numbers from the output.

# %%
import torch
from magnet_helpers import VANILLA, LabeledImages, apply_model, evaluate_accuracy, squared_error
from sklearn.decomposition import PCA

classifier, vanilla, attacked = lab.classifier(), lab.reformer(VANILLA), lab.attacked()


def show(name, reform):
    clean_out, attacked_out = reform(lab.test.images).clamp(0, 1), reform(attacked).clamp(0, 1)
    error = squared_error(lab.test.images, clean_out).mean()
    left = squared_error(lab.test.images, attacked_out).mean()
    clean, grey = (
        evaluate_accuracy(classifier, LabeledImages(each, lab.test.labels)) for each in (clean_out, attacked_out)
    )
    print(f"{name:<12} error {error:5.1f}   distance to clean {left:5.1f}   clean {clean}   grey box {grey}")


show("no reformer", lambda images: images)
show("vanilla AE", lambda images: apply_model(vanilla, images))
for k in (5, 20, 50, 100, 400, 784):
    pca = PCA(k, svd_solver="full").fit(lab.data.train.images[:5000].flatten(1))
    show(
        f"linear, {k}",
        lambda images, pca=pca: (
            torch.tensor(pca.inverse_transform(pca.transform(images.flatten(1)))).float().view_as(images)
        ),
    )
print(lab.note)

# %% [markdown] task="explain" part="answer"
# (Measured once: MNIST, `fast` budget, seed 0, on one processor. Others round differently, so a student's numbers differ by some points; judge the argument, with the student's own output.)
#
# The best copy comes from the linear autoencoder with 784 numbers, which loses nothing. It keeps the attack whole, so its grey-box accuracy is that
# without a reformer, 9.0 %. The vanilla autoencoder copies nearly as well (error 1.7) and removes little: the distance to the clean image falls from 39.6
# to 31.0 only, and 18.6 % of the answers are right. The best reformer here is the linear one with 20 numbers, 48.8 %, although its error of
# 17.5 is ten times larger. A large code has room for whatever comes in, the attack's pattern too, and nothing in the training on clean images asks to
# leave that out. Twenty directions, chosen because digits differ along them, have little room for it. With five numbers the digit itself is lost: 53.6 % on
# clean images. Distance is not all: 100 numbers come nearest to the clean image (21.2), and still only 18.2 % are right, because what remains of
# the change still points against the classifier. All this is one training of the fast budget.

# %% [markdown] task="explain" part="rubric"
# - 1 point: names the best copy and the best reformer, with numbers from the output, and sees that they are not the same.
# - 1 point: gives a reason: a large code has room for the attack's pattern and the loss asks for a copy of what comes in; a small code has to choose.
# - 1 point: says what a very small code costs (clean accuracy), or that the distance to the clean image alone does not decide.

# %% [markdown] task="investigate" points=5 minutes=45 difficulty="open"
# ## Investigate
#
# *How small should the code be?* Or ask a question of your own about the vanilla autoencoder. Say what you expect and why, before you measure.
# Measure with at least three seeds. Draw one figure with labelled axes and intervals. Say what you found, also if it is not what you expected.
# Name n, budget, dataset and seeds, and one limit of what you measured.
#
# Here is the vanilla autoencoder with a code of `units` numbers. A training is one call:
# `fit(network, ReconstructionLoss(), lab.data.train.first(5000), lab.data.validation.first(500), TrainingConfig(epochs=3, learning_rate=5e-3, schedule="linear", batch_size=32, seed=0))`.
# (That is for MNIST. Other datasets may have fewer images; then leave out `.first(…)`.)
# (`initial_weights_from(seed)`, used as `with initial_weights_from(0): network = NarrowAutoencoder(20)`, fixes the initial weights. All these
# names come from `magnet_helpers`.) The cell of the task above shows how a reformer is evaluated.

# %%
from magnet_helpers import ConvAutoencoder
from torch import nn


class NarrowAutoencoder(ConvAutoencoder):
    def __init__(self, units):
        super().__init__()
        self.narrow = nn.Sequential(nn.Linear(1568, units), nn.Linear(units, 1568), nn.ReLU())

    def forward(self, images):
        return self.decode(self.narrow(self.encode(images)))


# %%
# Your code: as many cells as you like, below this one.

# %% [markdown] task="investigate" part="answer"
# (A sketch of a good report: what it says of results is expected, not measured.)
#
# Expectation: grey-box accuracy is highest at some size in the middle. A large code keeps the attack, a small one loses the digit. To be measured: codes of 5, 10, 20,
# 50, 200 and 1568 numbers, three seeds each (initial weights and training), 5,000 images, 3 epochs, the same classifier; accuracy on clean and on
# grey-box images over the logarithm of the size, as mean and interval over seeds and images (`estimate`). The linear autoencoders of the explanation
# are drawn as a second line. What was not varied limits the conclusion: one classifier, few epochs (a narrow code may need more), and the white box
# was not looked at.

# %% [markdown] task="investigate" part="rubric"
# - 1 point: a question that the measurement can answer, and an expectation with a reason, written before.
# - 1 point: at least three seeds, and n, budget and dataset named.
# - 1 point: one figure, axes labelled, intervals drawn.
# - 1 point: the conclusion says no more than the intervals allow.
# - 1 point: names a limit of the measurement (for example that narrow codes may need more epochs, or that no white-box attack was tried).
