# %% [markdown]
# # Assignment 03 · The denoising autoencoder
#
# {{badges}}
#
# Lesson 03 showed a network noisy images and asked for clean ones. Here you write the noise, the loss, and the measure that notices when an
# autoencoder has collapsed.
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

# %% [markdown] task="corrupt" points=3 minutes=10 difficulty="easy"
# ## Noise of a different level for each image
#
# A denoiser that is trained at one noise level is good at that level. So denoisers are often trained with a level drawn for each image. Here the levels are
# given: image i gets noise of *standard deviation* `noise_std[i]`. The numbers z are given too, one for each pixel, drawn from a standard
# normal. Return clip(xᵢ + σᵢ·zᵢ, 0, 1) for every image i. Leave the arguments as they are.
#
# Mind the shapes: PyTorch lines them up from the right, and there are batches in which the wrong line-up raises no error.


# %% task="corrupt" part="solution"
import torch


def corrupt(images, noise_std, z):
    """Return noisy images for images (N, 1, H, W), levels (N,) and standard normal numbers (N, 1, H, W)."""
    ### BEGIN SOLUTION
    return (images + noise_std.view(-1, 1, 1, 1) * z).clamp(0, 1)
    ### END SOLUTION


# %%
from magnet_helpers.checks import check_corrupt

check_corrupt(corrupt)

# %% task="corrupt" part="tests"
# More tests run here when your work is graded.
### BEGIN HIDDEN TESTS
import torch

torch.manual_seed(31)
for shape in ((28, 1, 28, 28), (1, 1, 28, 28), (9, 1, 28, 28), (3, 1, 3, 5)):
    clean, drawn, levels = torch.rand(shape), torch.randn(shape), torch.linspace(0, 1.5, shape[0])
    before = clean.clone(), levels.clone(), drawn.clone()
    answer = torch.as_tensor(corrupt(clean, levels, drawn))
    expected = torch.stack(
        [
            (x.double() + level * each.double()).clamp(0, 1)
            for x, level, each in zip(before[0], levels.tolist(), before[2], strict=True)
        ]
    )
    assert answer.shape == expected.shape, f"expected the shape {tuple(expected.shape)}, got {tuple(answer.shape)}"
    gap, which = (answer.double() - expected).abs().flatten(1).max(dim=1).values.max(dim=0)
    assert gap < 1e-5, f"{tuple(shape)}: a pixel of image {which}, of level {levels[which]:.3f}, is off by {gap:.4f}"
    for what, ours, theirs in zip(("images", "levels", "z"), before, (clean, levels, drawn), strict=True):
        assert torch.equal(ours, theirs), f"the function must not change the {what} that it is given"
### END HIDDEN TESTS

# %% [markdown] task="loss" points=3 minutes=15 difficulty="medium"
# ## The denoising loss
#
# Return the loss of one batch, as a tensor with no dimensions: the squared error ‖x − g(f(x̃))‖² of each image, summed over its pixels, and then the
# mean over the images. x̃ = clip(x + σz, 0, 1) with one level σ, `noise_std`, for all images, and z given. `network` is the whole autoencoder, g(f(·)). Its
# weights will be trained with your loss, so the gradient must reach them. Take no training step, and do not use the package's own loss.


# %% task="loss" part="solution"
def denoising_loss(network, images, noise_std, z):
    """Return the mean denoising loss of images (N, 1, H, W), for a number noise_std and z (N, 1, H, W)."""
    ### BEGIN SOLUTION
    noisy = (images + noise_std * z).clamp(0, 1)
    return ((images - network(noisy)) ** 2).sum() / len(images)
    ### END SOLUTION


# %%
from magnet_helpers.checks import check_denoising_loss

check_denoising_loss(denoising_loss)

# %% task="loss" part="tests"
# More tests run here when your work is graded.
### BEGIN HIDDEN TESTS
from copy import deepcopy

import torch
from torch import nn

torch.manual_seed(32)
reference = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1), nn.Sigmoid())
for shape, level in (((6, 1, 28, 28), 0.5), ((1, 1, 28, 28), 0.3), ((7, 1, 4, 9), 1.2), ((3, 1, 5, 5), 0.0)):
    clean, drawn = torch.rand(shape), torch.randn(shape)
    exact, under_test = deepcopy(reference).double(), deepcopy(reference)
    output = exact((clean.double() + level * drawn.double()).clamp(0, 1))
    expected = torch.stack([((x - y) ** 2).sum() for x, y in zip(clean, output, strict=True)]).mean()
    answer = denoising_loss(under_test, clean.clone(), level, drawn.clone())
    assert isinstance(answer, torch.Tensor), f"expected a tensor, got a {type(answer).__name__}"
    assert answer.shape == (), f"expected a tensor without dimensions, got the shape {tuple(answer.shape)}"
    assert abs(answer.item() - expected.item()) < 1e-4 * expected.item(), (
        f"{shape[0]} images, σ = {level}: expected {expected.item():.5f}, got {answer.item():.5f}"
    )
    assert answer.requires_grad, "no gradient comes through"
    right = torch.autograd.grad(expected, list(exact.parameters()))
    try:
        gradients = torch.autograd.grad(answer, list(under_test.parameters()), allow_unused=True)
    except RuntimeError as error:
        raise AssertionError(f"the gradient cannot be taken: {error}") from error
    for ours, theirs in zip(right, gradients, strict=True):
        assert theirs is not None and torch.allclose(
            ours.float(), theirs, rtol=1e-3, atol=1e-3 * ours.abs().max().item()
        ), "the gradient does not reach the network's weights as it should"
### END HIDDEN TESTS

# %% [markdown] task="spread" points=3 minutes=15 difficulty="medium"
# ## Has it collapsed?
#
# A collapsed autoencoder returns the same picture whatever it is shown. To notice that, ask of each pixel how much it varies *from image to
# image*. Return a single number: the standard deviation of each pixel over the outputs, averaged over all pixels, divided by the same quantity
# of the images. It is near 1 for a good copy and near 0 for a collapse. (The package says "collapsed" below 0.01.)
#
# Some pixels, such as those at the edge of MNIST's images, never vary. Your function must still return a number. There are at least two images.


# %% task="spread" part="solution"
def spread(outputs, images):
    """Return how much outputs (N, 1, H, W) vary over the images, as a share of how much images (N, 1, H, W) vary."""
    ### BEGIN SOLUTION
    return outputs.std(dim=0).mean() / images.std(dim=0).mean()
    ### END SOLUTION


# %%
from magnet_helpers.checks import check_spread

check_spread(spread)

# %% task="spread" part="tests"
# More tests run here when your work is graded.
### BEGIN HIDDEN TESTS
import statistics

import torch

torch.manual_seed(33)
for n, share in ((40, 1.0), (12, 0.3), (2, 1.7), (25, 0.004), (30, 0.0)):
    shown = torch.rand(n, 1, 5, 7)
    shown[:, :, :2] = 0
    returned = torch.rand(1, 1, 5, 7) + share * torch.rand(n, 1, 5, 7)
    mean_std = [
        statistics.mean(statistics.stdev(column) for column in zip(*each.flatten(1).tolist(), strict=True))
        for each in (returned, shown)
    ]
    answer = torch.as_tensor(spread(returned.clone(), shown.clone()))
    assert answer.numel() == 1, f"expected a single number, got the shape {tuple(answer.shape)}"
    answer, expected = float(answer), mean_std[0] / mean_std[1]
    assert abs(answer - expected) < 1e-3 * expected + 1e-5, f"{n} images: expected {expected:.5f}, got {answer:.5f}"
### END HIDDEN TESTS

# %% [markdown] part="B"
# # Part B · Look and explain
#
# This part is read by a person. Its cells are not run again when your work is graded: hand in the notebook with the outputs that you
# write about. Below, `lab` trains or loads the networks of lesson 03.

# %% [markdown] task="explain" points=3 minutes=20 difficulty="medium"
# ## Explain what you see
#
# "Noise level 0.4" can mean a standard deviation of 0.4 or a variance of 0.4. The cell below corrupts test images both ways, for five levels. It prints
# the standard deviation and the mean of the change x̃ − x, after clipping, over all pixels.
#
# 1. Why is the change's standard deviation smaller than σ, and why is its mean not 0?
# 2. Someone gives you the clean and the noisy images of a paper, and says "level 0.4". How do you find out which reading was used, without the program?
# 3. Is a table whose rows are called "variance 0.1 to 0.5" wrong if its program used standard deviations? What changes, and what does not?
#
# Answer in five to ten sentences, with numbers from the output.

# %%
from magnet_helpers import add_noise, new_generator
from magnet_helpers.study.grid import NOISE_LEVELS

for level in NOISE_LEVELS:
    for name, sigma in (("standard deviation", level), ("variance", level**0.5)):
        change = add_noise(lab.test.images, sigma, new_generator(0, "assignment 03")) - lab.test.images
        print(
            f"level {level} as {name:<19} σ = {sigma:.3f}   of the change: std {change.std():.3f}, mean {change.mean():+.3f}"
        )
print(lab.note)
print(f"pixels that are exactly black: {(lab.test.images == 0).float().mean():.0%}")

# %% [markdown] task="explain" part="answer"
# (Numbers of MNIST and the `fast` budget, n = 4,000.)
#
# 81 % of the pixels are black. Noise can make them brighter only: the negative half is clipped away, and with it about half of the spread. So the change has
# a standard deviation of 0.257 for σ = 0.4, and a mean of +0.117: the noisy image is brighter. White pixels are clipped at the other end, but they are few. To find out which
# reading was used, take the pixels that are grey in the clean image, about 0.5, where little is clipped, and measure the standard deviation of the change
# there: near 0.4 or near 0.63 (a little less, because some is clipped even there). One may also take the change of all pixels: 0.257 or 0.361. If the
# program used standard deviations, the word "variance" in the table is wrong and the numbers in its cells are not: they belong to σ = 0.1 to 0.5. Who trains again from
# the text takes σ = √0.4 = 0.632, stronger noise than the authors had, and the levels then cover 0.32 to 0.71. The order of the levels stays.

# %% [markdown] task="explain" part="rubric"
# - 1 point: explains the smaller standard deviation and the positive mean by clipping at the many black pixels.
# - 1 point: gives a measurement that tells the two readings apart, with the numbers to expect (for example 0.4 or 0.63 at grey pixels, or those that the output prints for all pixels).
# - 1 point: says that the label is wrong and the cells are not; who repeats it from the text gets stronger noise (σ = √level).

# %% [markdown] task="investigate" points=5 minutes=45 difficulty="open"
# ## Investigate
#
# *Does the kind of noise matter?* Gaussian noise is one way to corrupt an image. Others are masking (a share of the pixels becomes black) and
# noise of one size (every pixel moves by exactly ε, up or down at random). Which of them makes the best reformer? Or ask a question
# of your own about denoising autoencoders. Say what you expect and why, before you measure. Measure with at least three seeds. Draw one figure with labelled axes and
# intervals. Say what you found, also if it is not what you expected.
# Name n, budget, dataset and seeds, and one limit of what you measured.
#
# A loss is any function with the arguments below, and a training is one call:
# `fit(network, masking_loss, lab.data.train.first(5000), lab.data.validation.first(500), TrainingConfig(epochs=3, learning_rate=5e-3, schedule="linear", batch_size=32, seed=0))`.
# (That is for MNIST. Other datasets may have fewer images; then leave out `.first(…)`.)
# Grey-box accuracy is `evaluate_accuracy(ReformedClassifier(network, lab.classifier()), LabeledImages(lab.attacked(), lab.test.labels))`.
# All these names come from `magnet_helpers`.

# %%
import torch
from magnet_helpers import ConvAutoencoder, initial_weights_from, squared_error

with initial_weights_from(0):
    network = ConvAutoencoder()


def masking_loss(model, images, labels, generator):
    """The denoising loss for images of which about three pixels in ten are made black."""
    drawn = torch.rand(images.shape, generator=generator, device=generator.device).to(images.device)
    return squared_error(images, model(images * (drawn >= 0.3))).mean()


# %%
# Your code: as many cells as you like, below this one.

# %% [markdown] task="investigate" part="answer"
# (A sketch of a good report: what it says of results is expected, not measured.)
#
# Expectation: noise of one size is nearest to FGSM's pattern, so it makes the best reformer against FGSM. Masking only takes light away and does not
# look like the attack at all. To be measured: Gaussian noise of σ = 0.3, noise of one size ε = 0.3, and masking of 30 %, three seeds each (initial weights and
# training), 5,000 images, 3 epochs, the same classifier; clean and grey-box accuracy as mean and interval over seeds and images, and the
# paired `difference` to Gaussian noise. The strengths were chosen by hand and are not equal in any sense: another share of masked pixels
# may change the order. One attack and one classifier were used, so "best" means against FGSM at ε = 0.3.

# %% [markdown] task="investigate" part="rubric"
# - 1 point: a question that the measurement can answer, and an expectation with a reason, written before.
# - 1 point: at least three seeds, and n, budget and dataset named.
# - 1 point: one figure, axes labelled, intervals drawn.
# - 1 point: the conclusion says no more than the intervals allow.
# - 1 point: names a limit of the measurement (for example that the strengths of two kinds of noise cannot be compared, or that one attack was used).
