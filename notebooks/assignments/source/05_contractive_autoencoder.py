# %% [markdown]
# # Assignment 05 · The contractive autoencoder
#
# {{badges}}
#
# Lesson 05 measured how strongly a code reacts to the image, and trained with that measure as a penalty. Here you write the measure in two
# ways. Then you mend a loss that looks like the penalty and is none.
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

# %% [markdown] task="closed_form" points=2 minutes=10 difficulty="easy"
# ## The penalty of one layer
#
# A dense layer computes h = σ(W x + b). You get its codes h, one row for each image, and its weight W, one row for each unit of the code.
# Return ‖∂h/∂x‖²_F for each image. You need neither x nor b: the codes say how steep the sigmoid is.
#
# A training will use it, so gradients must come through to the codes and to W: stay with PyTorch's tensors.

# %% task="closed_form" part="solution"
import torch


def sigmoid_layer_penalty(codes, weight):
    """Return ‖∂h/∂x‖²_F of each image, shape (N,), for codes (N, m) and weight (m, n)."""
    ### BEGIN SOLUTION
    slopes = codes * (1 - codes)
    return slopes.square() @ weight.square().sum(dim=1)
    ### END SOLUTION


# %%
from magnet_helpers.checks import check_sigmoid_layer_penalty

check_sigmoid_layer_penalty(sigmoid_layer_penalty)

# %% task="closed_form" part="tests"
# More tests run here when your work is graded.
### BEGIN HIDDEN TESTS
import torch

torch.manual_seed(51)
for n, m, pixels in ((1, 3, 3), (4, 4, 4), (3, 2, 7), (2, 6, 5)):
    weights = torch.randn(m, pixels, dtype=torch.float64, requires_grad=True)
    bias, inputs = torch.randn(m, dtype=torch.float64), torch.randn(n, pixels, dtype=torch.float64)

    def layer(x, weights=weights, bias=bias):
        return torch.sigmoid(weights @ x + bias)

    jacobians = [torch.autograd.functional.jacobian(layer, x, create_graph=True) for x in inputs]
    expected = torch.stack([jacobian.square().sum() for jacobian in jacobians])
    answer = sigmoid_layer_penalty(torch.stack([layer(x) for x in inputs]), weights)
    assert answer.shape == (n,), f"expected one number for each of {n} images, got the shape {tuple(answer.shape)}"
    assert torch.allclose(answer, expected), f"expected {expected.tolist()}, got {answer.tolist()}"
    assert answer.requires_grad, "no gradient comes through"
    (gradient,) = torch.autograd.grad(answer.sum(), weights)
    (right,) = torch.autograd.grad(expected.sum(), weights)
    assert torch.allclose(gradient, right), "the gradient with respect to W is not that of the penalty"
in_float32 = sigmoid_layer_penalty(torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 2.0, 2.0], [0.0, 3.0, 4.0]]))
assert torch.allclose(in_float32, torch.tensor([34 / 16])), f"expected 34/16, got {in_float32.tolist()}"
### END HIDDEN TESTS

# %% [markdown] task="projections" points=4 minutes=25 difficulty="hard"
# ## The penalty of any encoder, by projections
#
# For a deep encoder there is no closed form. Take directions v instead, and average ‖J v‖² over them. `directions` has the shape (K, N, …):
# `directions[k]` has the shape of the images and holds one direction for each. Return, for each image, the mean of ‖J v‖² over its K directions, where J is the encoder's
# Jacobian at this image. Take the directions as they are, do not draw or scale any.
#
# Use automatic differentiation, not a small finite step. A training will use it: gradients must reach the encoder's weights.
#
# (Why this estimates ‖J‖²_F stands in the lesson. The tests know a case where it is exact: K directions at right angles, as many
# as there are pixels, with entries ±1.)


# %% task="projections" part="solution"
from torch.func import jvp


def penalty_by_projections(encoder, images, directions):
    """Return the mean of ‖J v‖², shape (N,).

    encoder: maps images (N, …) to codes (N, m), each image by itself.
    images: shape (N, …).
    directions: shape (K, N, …).
    """
    ### BEGIN SOLUTION
    total = 0
    for direction in directions:
        products = jvp(encoder, (images,), (direction,))[1]
        total = total + products.square().sum(dim=1)
    return total / len(directions)
    ### END SOLUTION


# %%
from magnet_helpers.checks import check_penalty_by_projections

check_penalty_by_projections(penalty_by_projections)

# %% task="projections" part="tests"
# More tests run here when your work is graded.
### BEGIN HIDDEN TESTS
import torch
from torch import nn

torch.manual_seed(52)
network = nn.Sequential(nn.Flatten(), nn.Linear(8, 7), nn.ReLU(), nn.Linear(7, 5), nn.Sigmoid()).double()
some_images = torch.rand(3, 1, 2, 4, dtype=torch.float64)
jacobians = [
    torch.autograd.functional.jacobian(lambda x: network(x[None])[0], image, create_graph=True).flatten(start_dim=1)
    for image in some_images
]
two = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64)
hadamard = torch.kron(torch.kron(two, two), two)  # rows at right angles, entries ±1: their mean is exact
at_right_angles = torch.stack([hadamard[torch.randperm(8)] for _ in some_images], dim=1).view(8, 3, 1, 2, 4)
exact = torch.stack([jacobian.square().sum() for jacobian in jacobians])
answer = penalty_by_projections(network, some_images, at_right_angles)
assert answer.shape == (3,), f"expected one number for each of 3 images, got the shape {tuple(answer.shape)}"
assert torch.allclose(answer, exact), f"expected the exact {exact.tolist()}, got {answer.tolist()}"
assert answer.requires_grad, "no gradient comes through"
gradients = torch.autograd.grad(answer.sum(), [network[1].weight, network[3].weight, network[3].bias])
right = torch.autograd.grad(exact.sum(), [network[1].weight, network[3].weight, network[3].bias], retain_graph=True)
for found, wanted in zip(gradients, right, strict=True):
    assert torch.allclose(found, wanted), "the gradient does not reach the encoder's weights as it should"
for count in (1, 4):
    drawn = torch.randn(count, 3, 1, 2, 4, dtype=torch.float64)
    expected = torch.stack(
        [
            sum((jacobian @ direction.flatten()).square().sum() for direction in drawn[:, index]) / count
            for index, jacobian in enumerate(jacobians)
        ]
    )
    answer = penalty_by_projections(network, some_images, drawn)
    assert torch.allclose(answer, expected), f"{count} directions: expected {expected.tolist()}, got {answer.tolist()}"
### END HIDDEN TESTS

# %% [markdown] task="mend" points=4 minutes=20 difficulty="medium"
# ## Find the bugs
#
# The network below has one sigmoid layer as its encoder. Its loss should be the mean over the images of
#
# $$\lVert x - \hat x\rVert^2 + \lambda\,\lVert\partial h / \partial x\rVert_F^2 ,$$
#
# where ‖x − x̂‖² is the *sum* over the pixels. `published_loss` does what the program behind the paper did. It runs, and its value falls in training, but it differs from this loss in two
# places. One of them changes only a factor. The other one makes the penalty blind to what it should shrink. Look for both before you write.
#
# Then write `contractive_loss`. The network that it gets has `dense` (with `dense.weight`), `encode(images)` and `decode(codes)`, as below.
# It must work for any network of this kind, also for one that was trained for a while.

# %%
import torch
from torch import nn


class Autoencoder(nn.Module):
    def __init__(self, pixels, units):
        super().__init__()
        self.dense = nn.Linear(pixels, units)
        self.decoder = nn.Linear(units, pixels)
        self.copied_weight = self.dense.weight.detach().clone()  # for the penalty

    def encode(self, images):
        return torch.sigmoid(self.dense(images))

    def decode(self, codes):
        return self.decoder(codes)


def published_loss(network, images, penalty_weight):
    codes = network.encode(images)
    error = (images - network.decode(codes)).square().mean()
    slopes = codes * (1 - codes)
    penalty = slopes.square() @ network.copied_weight.square().sum(dim=1)
    return error + penalty_weight * penalty.mean()


# %% task="mend" part="solution"
def contractive_loss(network, images, penalty_weight):
    """Return the mean over images (N, P) of ‖x − x̂‖² + penalty_weight·‖∂h/∂x‖²_F, a tensor without dimensions."""
    ### BEGIN SOLUTION
    codes = network.encode(images)
    error = (images - network.decode(codes)).square().sum(dim=1)
    slopes = codes * (1 - codes)
    penalty = slopes.square() @ network.dense.weight.square().sum(dim=1)
    return (error + penalty_weight * penalty).mean()
    ### END SOLUTION


# %%
from magnet_helpers.checks import check_contractive_loss

check_contractive_loss(contractive_loss)

# %% task="mend" part="tests"
# More tests run here when your work is graded.
### BEGIN HIDDEN TESTS
import torch
from torch import nn


class AnotherAutoencoder(nn.Module):
    def __init__(self, pixels, units):
        super().__init__()
        self.dense = nn.Linear(pixels, units)
        self.decoder = nn.Sequential(nn.Linear(units, pixels), nn.Sigmoid())
        self.copied_weight = self.dense.weight.detach().clone()

    def encode(self, images):
        return torch.sigmoid(self.dense(images))

    def decode(self, codes):
        return self.decoder(codes)

    def forward(self, images):
        return self.decode(self.encode(images))


torch.manual_seed(53)
for n, pixels, units, strength in ((4, 7, 5, 0.3), (1, 3, 3, 2.0), (6, 5, 8, 0.0)):
    network = AnotherAutoencoder(pixels, units).double()
    network.copied_weight = network.copied_weight.double()
    for step in range(2):
        some_images = torch.rand(n, pixels, dtype=torch.float64)
        expected = 0.0
        for image in some_images:
            jacobian = torch.autograd.functional.jacobian(network.encode, image, create_graph=True)
            expected = expected + (image - network(image)).square().sum() + strength * jacobian.square().sum()
        expected = expected / n
        answer = contractive_loss(network, some_images, strength)
        assert answer.shape == (), f"expected a tensor without dimensions, got the shape {tuple(answer.shape)}"
        when = "after a step of training" if step else "before the training"
        assert torch.allclose(answer, expected), f"{when}: expected {expected.item():.6f}, got {answer.item():.6f}"
        assert answer.requires_grad, "no gradient comes through"
        weights = list(network.parameters())
        gradients = torch.autograd.grad(answer, weights, allow_unused=True)
        right = torch.autograd.grad(expected, weights)
        for found, wanted in zip(gradients, right, strict=True):
            assert found is not None and torch.allclose(found, wanted), (
                f"{when}: the gradient does not reach the network's weights as it should"
            )
        with torch.no_grad():
            for weight in weights:
                weight.add_(0.5 * torch.randn_like(weight))
### END HIDDEN TESTS
# %% [markdown] part="B"
# # Part B · Look and explain
#
# This part is read by a person. Its cells are not run again when your work is graded: hand in the notebook with the outputs that you
# write about. Below, `lab` trains or loads the networks of lesson 05.

# %% [markdown] task="explain" points=3 minutes=20 difficulty="medium"
# ## Explain what you see
#
# The penalty lowers ‖J‖²_F of the *code*. But the classifier never sees the code: it sees the reconstruction. Run the cell below. For each λ it measures
# two norms over the same test images: that of the code f(x), exactly, and that of the reconstruction g(f(x)), by 20 random projections.
#
# By what factor does λ = 0.1 lower the one, by what factor the other? How can they differ, when the images are the same? Which of the two matters for
# the attack? What does this one table show about protection, and what does it not show? Answer in four to eight sentences, with numbers from the output.

# %%
import torch
from magnet_helpers import Knowledge, jacobian_frobenius_squared, new_generator
from magnet_helpers.study.grid import TABLE_3

sample = lab.test.spread(lab.budget.jacobian_images).images.to(lab.device)
for defense in TABLE_3:
    network, report = lab.reformer(defense), lab.report(defense)
    with torch.no_grad():
        of_code = jacobian_frobenius_squared(network.encode, sample).mean()
        generator = new_generator(0, "assignment 05")
        of_image = jacobian_frobenius_squared(network, sample, projections=20, generator=generator).mean()
    boxes = (Knowledge.CLASSIFIER, Knowledge.REFORMER)
    accuracies = ", ".join(f"{knows.label} {report.accuracy(knows)} %" for knows in boxes)
    print(f"{defense.label:<15} ‖J‖² of the code {of_code:5.1f}, of the reconstruction {of_image:5.1f}; {accuracies}")
print(f"norms: means over {len(sample)} test images · {lab.note}")

# %% [markdown] task="explain" part="answer"
# (Measured once: MNIST, `fast` budget, seed 0, on one processor. Others round differently, so a student's numbers differ by some points; judge the argument, with the student's own output.)
#
# λ = 0.1 lowers the norm of the code from 43 to 12, by a factor of 3.6. The norm of the reconstruction falls from 42 to 30, by a factor of only
# 1.4. The Jacobian of g∘f is the product of the decoder's and the encoder's. The penalty knows the encoder's alone, and the error wants sharp images. So the
# decoder may grow steeper, and here it undoes most of the contraction. The attack has to move what the classifier sees, so the second norm
# is the one that matters; and even that one counts small changes in all directions alike, while an attacker takes the worst one and a large step. The
# grey box rises from 46.7 to 63.4 %, with intervals far apart, so these two networks differ. It is one seed: the table does not show that the next training
# would gain as much. The control λ = 0 is part of it, so the gain is not that of the dense layer.

# %% [markdown] task="explain" part="rubric"
# - 1 point: both factors, with numbers, and that the one for the reconstruction is much smaller.
# - 1 point: the chain rule: the decoder is not penalised and can undo the contraction; the classifier sees the reconstruction.
# - 1 point: says what limits the conclusion (one seed; a norm at the clean image is not an attack; compares with λ = 0, not with no reformer).

# %% [markdown] task="investigate" points=5 minutes=45 difficulty="open"
# ## Investigate
#
# *What if the penalty is put on the reconstruction, ‖∂g(f(x))/∂x‖²_F, and not on the code?* Or: *does denoising contract too?* (Measure that norm for the
# reformers of lesson 03.) Or ask a question of your own about contraction. Say what you expect and why, before you measure. Measure with at least three
# seeds, and beside a control without the penalty (or without noise). Draw one figure with labelled axes and intervals. Say what you found, also if it is not what you expected.
# Name n, budget, dataset and seeds, and one limit of what you measured.
#
# A training is a few lines. A loss is any function `loss(network, images, labels, generator)` that returns a tensor without dimensions, so you can write your own:
#
# ```python
# from magnet_helpers import ContractiveAutoencoder, ContractiveLoss, TrainingConfig, fit, initial_weights_from
#
# with initial_weights_from(0):
#     network = ContractiveAutoencoder()
# fit(network, ContractiveLoss(penalty_weight=0.1), lab.data.train.first(1000), lab.data.validation.first(500), TrainingConfig(epochs=3, seed=0))
# ```
#
# (That is for MNIST. Other datasets may have fewer images; then leave out `.first(…)`.)

# %%
# Your code: as many cells as you like, below this one.

# %% [markdown] task="investigate" part="answer"
# (A sketch of a good report: what it says of results is expected, not measured.)
#
# Expectation for the first question: a penalty on the reconstruction cannot be undone by the decoder, so at the same accuracy on clean images the reconstruction's norm is lower; but an
# autoencoder whose reconstruction does not move is one that does not reconstruct, so the error rises sooner. To be measured with three seeds at λ = 0, 0.001, 0.01 and 0.1 for both penalties: squared error and norm
# of the reconstruction on the same test images, one curve for each penalty in a plot of error over norm, with the interval over the seeds at each point. The two are compared at equal error, not at equal λ, because
# λ means something else beside each norm. Limits: 1,000 images and three epochs, one projection in training, FGSM not measured.

# %% [markdown] task="investigate" part="rubric"
# - 1 point: a question that the measurement can answer, and an expectation with a reason, written before.
# - 1 point: at least three seeds, a control without penalty (or without noise), and n, budget and dataset named.
# - 1 point: one figure, axes labelled, intervals drawn.
# - 1 point: the conclusion says no more than the intervals allow.
# - 1 point: names a limit of the measurement (for example that equal λ is not equal strength).
