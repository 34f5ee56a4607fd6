# %% [markdown]
# # Assignment 06 · Attacks
#
# {{badges}}
#
# Lesson 06 took FGSM apart. Here you write it: with given labels, on the network's own answers, and through a reformer. The last one begins with
# an attack that calls itself white-box and is not.
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
#
# For every attack in this part: **it leaves nothing behind**. Afterwards the given images have the same values and do not require gradients. The network's
# weights hold no gradients in `.grad`, and can be trained as before. The adversarial images are plain numbers, without a graph. A forgotten gradient is
# added to the next training step, and nobody sees it.

# %% [markdown] task="fgsm" points=3 minutes=15 difficulty="medium"
# ## One step uphill
#
# The attacker knows the right labels. Return the adversarial images
#
# $$x' = \mathrm{clip}\big(x + \varepsilon\,\mathrm{sign}\,\tfrac{\partial L(x, y)}{\partial x},\ 0,\ 1\big) ,$$
#
# where L is the cross entropy of the network's logits with the label. The sign of 0 is 0. Write the step yourself, without the package's `FGSM`.

# %% task="fgsm" part="solution"
import torch
from torch.nn import functional as F


def fgsm(network, images, labels, epsilon):
    """Return the adversarial images of images (N, 1, H, W) in [0, 1] with labels (N,); network gives logits (N, 10)."""
    ### BEGIN SOLUTION
    x = images.clone().requires_grad_()
    loss = F.cross_entropy(network(x), labels, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, x)
    return (images + epsilon * gradient.sign()).clamp(0, 1)
    ### END SOLUTION


# %%
from magnet_helpers.checks import check_fgsm

check_fgsm(fgsm)

# %% task="fgsm" part="tests"
# More tests run here when your work is graded.
### BEGIN HIDDEN TESTS
import torch
from torch import nn

torch.manual_seed(61)
for n, side, step in ((1, 3, 0.3), (8, 4, 0.1), (5, 4, 0.0)):
    network = nn.Sequential(nn.Flatten(), nn.Linear(side**2, 9), nn.Tanh(), nn.Linear(9, 10)).double()
    with torch.no_grad():
        network[1].weight.mul_(3)
        network[3].weight.mul_(6)
        network[1].weight[:, 2] = 0  # a pixel without influence
    some_images = torch.rand(n, 1, side, side, dtype=torch.float64).round(decimals=1)
    theirs = torch.randint(0, 10, (n,))
    slopes = torch.zeros_like(some_images)
    with torch.no_grad():  # ∂L/∂x by small steps, pixel after pixel
        for row in range(side):
            for column in range(side):
                small = torch.zeros_like(some_images)
                small[:, :, row, column] = 1e-6
                up, down = (
                    -network(some_images + sign * small).log_softmax(dim=1)[torch.arange(n), theirs] for sign in (1, -1)
                )
                slopes[:, 0, row, column] = (up - down) / 2e-6
    expected = (some_images + step * slopes.sign()).clamp(0, 1)
    before = some_images.clone()
    answer = fgsm(network, some_images, theirs, step)
    assert torch.equal(some_images, before), "the given images were changed"
    assert not some_images.requires_grad, "the given images require gradients afterwards"
    assert all(weight.grad is None for weight in network.parameters()), "gradients stay on the network's weights"
    assert all(weight.requires_grad for weight in network.parameters()), "the network's weights are frozen afterwards"
    assert not answer.requires_grad, "the adversarial images still hang on a graph"
    assert answer.shape == expected.shape, f"expected the shape {tuple(expected.shape)}, got {tuple(answer.shape)}"
    assert answer.min() >= 0 and answer.max() <= 1, "pixels outside [0, 1]"
    off = ((answer - expected).abs() > 1e-6).sum().item()
    assert off == 0, f"epsilon {step}: {off} of {expected.numel()} pixels are not where one step uphill puts them"
### END HIDDEN TESTS

# %% [markdown] task="predicted" points=2 minutes=10 difficulty="easy"
# ## Without the right labels
#
# The paper's attacker does not know the labels. He takes the network's own answer to each clean image for y. Write this attack, again without the
# package's `FGSM`. You may call your `fgsm`. (The tests bring a right `fgsm` of their own: a mistake there costs nothing here.)


# %% task="predicted" part="solution"
def fgsm_predicted(network, images, epsilon):
    """Return the adversarial images of images (N, 1, H, W) in [0, 1]; network gives logits (N, 10)."""
    ### BEGIN SOLUTION
    x = images.clone().requires_grad_()
    logits = network(x)
    (gradient,) = torch.autograd.grad(F.cross_entropy(logits, logits.argmax(dim=1), reduction="sum"), x)
    return (images + epsilon * gradient.sign()).clamp(0, 1)
    ### END SOLUTION


# %%
from magnet_helpers.checks import check_fgsm_predicted

check_fgsm_predicted(fgsm_predicted)

# %% task="predicted" part="tests"
# More tests run here when your work is graded.
### BEGIN HIDDEN TESTS
import torch
from torch import nn
from torch.nn import functional as F


def fgsm(network, images, labels, epsilon):
    x = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(network(x), labels, reduction="sum"), x)
    return (images + epsilon * gradient.sign()).clamp(0, 1)


torch.manual_seed(62)
for n, side, step in ((12, 4, 0.25), (1, 3, 0.1)):
    network = nn.Sequential(nn.Flatten(), nn.Linear(side**2, 9), nn.Tanh(), nn.Linear(9, 10)).double()
    with torch.no_grad():
        network[1].weight.mul_(3)
        network[3].weight.mul_(6)
        network[1].weight[:, 2] = 0  # a pixel without influence
    some_images = torch.rand(n, 1, side, side, dtype=torch.float64).round(decimals=1)
    slopes = torch.zeros_like(some_images)
    with torch.no_grad():  # ∂L/∂x by small steps, pixel after pixel
        answers = torch.tensor([max(range(10), key=row.__getitem__) for row in network(some_images).tolist()])
        for row in range(side):
            for column in range(side):
                small = torch.zeros_like(some_images)
                small[:, :, row, column] = 1e-6
                up, down = (
                    -network(some_images + sign * small).log_softmax(dim=1)[torch.arange(n), answers]
                    for sign in (1, -1)
                )
                slopes[:, 0, row, column] = (up - down) / 2e-6
    expected = (some_images + step * slopes.sign()).clamp(0, 1)
    before = some_images.clone()
    answer = fgsm_predicted(network, some_images, step)
    assert torch.equal(some_images, before), "the given images were changed"
    assert not some_images.requires_grad, "the given images require gradients afterwards"
    assert all(weight.grad is None for weight in network.parameters()), "gradients stay on the network's weights"
    assert all(weight.requires_grad for weight in network.parameters()), "the network's weights are frozen afterwards"
    assert not answer.requires_grad, "the adversarial images still hang on a graph"
    assert answer.shape == expected.shape, f"expected the shape {tuple(expected.shape)}, got {tuple(answer.shape)}"
    off = ((answer - expected).abs() > 1e-6).sum().item()
    assert off == 0, (
        f"epsilon {step}: {off} of {expected.numel()} pixels are not where a step away from the answer puts them"
    )
### END HIDDEN TESTS

# %% [markdown] task="white_box" points=4 minutes=20 difficulty="medium"
# ## Find the bug
#
# A paper says: "We attacked reformer and classifier together, in the white box." Its code is below. It runs, it changes every image, and the defence looks
# strong under it. But the attacker of this code does not use all that a white-box attacker knows. What is missing? Find it before you write.
#
# Write `white_box_fgsm`: one FGSM step on reformer and classifier as *one* network. y is the answer of this whole network to the clean image. Do not use the
# package's `FGSM`. You may call your own functions from above. (The tests bring right ones of their own.)

# %%
import torch
from torch.nn import functional as F


def so_called_white_box(reformer, classifier, images, epsilon):
    with torch.no_grad():
        reformed = reformer(images)
    reformed.requires_grad_()
    logits = classifier(reformed)
    loss = F.cross_entropy(logits, logits.argmax(dim=1), reduction="sum")
    (gradient,) = torch.autograd.grad(loss, reformed)
    return (images + epsilon * gradient.sign()).clamp(0, 1)


# %% task="white_box" part="solution"
def white_box_fgsm(reformer, classifier, images, epsilon):
    """Return the adversarial images of images (N, 1, H, W) in [0, 1].

    reformer: maps images to images. classifier: maps images to logits (N, 10).
    """
    ### BEGIN SOLUTION
    x = images.clone().requires_grad_()
    logits = classifier(reformer(x))
    (gradient,) = torch.autograd.grad(F.cross_entropy(logits, logits.argmax(dim=1), reduction="sum"), x)
    return (images + epsilon * gradient.sign()).clamp(0, 1)
    ### END SOLUTION


# %%
from magnet_helpers.checks import check_white_box_fgsm

check_white_box_fgsm(white_box_fgsm)

# %% task="white_box" part="tests"
# More tests run here when your work is graded.
### BEGIN HIDDEN TESTS
import torch
from torch import nn
from torch.nn import functional as F


def fgsm(network, images, labels, epsilon):
    x = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(network(x), labels, reduction="sum"), x)
    return (images + epsilon * gradient.sign()).clamp(0, 1)


def fgsm_predicted(network, images, epsilon):
    with torch.no_grad():
        answers = network(images).argmax(dim=1)
    return fgsm(network, images, answers, epsilon)


torch.manual_seed(63)
for n, side, step in ((10, 4, 0.2), (1, 3, 0.4)):
    pixels = side**2
    reformer = nn.Sequential(
        nn.Flatten(),
        nn.Linear(pixels, 6),
        nn.Tanh(),
        nn.Linear(6, pixels),
        nn.Sigmoid(),
        nn.Unflatten(1, (1, side, side)),
    ).double()
    classifier = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 9), nn.Tanh(), nn.Linear(9, 10)).double()
    weights = [*reformer.parameters(), *classifier.parameters()]
    with torch.no_grad():
        for weight in weights:
            weight.mul_(3)
        reformer[1].weight[:, 2] = 0  # a pixel without influence
    some_images = torch.rand(n, 1, side, side, dtype=torch.float64).round(decimals=1)
    slopes = torch.zeros_like(some_images)
    with torch.no_grad():  # ∂L/∂x by small steps, pixel after pixel
        logits = classifier(reformer(some_images))
        answers = torch.tensor([max(range(10), key=row.__getitem__) for row in logits.tolist()])
        for row in range(side):
            for column in range(side):
                small = torch.zeros_like(some_images)
                small[:, :, row, column] = 1e-5
                up, down = (
                    -classifier(reformer(some_images + sign * small)).log_softmax(dim=1)[torch.arange(n), answers]
                    for sign in (1, -1)
                )
                slopes[:, 0, row, column] = (up - down) / 2e-5
    expected = (some_images + step * slopes.sign()).clamp(0, 1)
    before = some_images.clone()
    answer = white_box_fgsm(reformer, classifier, some_images, step)
    assert torch.equal(some_images, before), "the given images were changed"
    assert not some_images.requires_grad, "the given images require gradients afterwards"
    assert all(weight.grad is None for weight in weights), "gradients stay on the networks' weights"
    assert all(weight.requires_grad for weight in weights), "the networks' weights are frozen afterwards"
    assert not answer.requires_grad, "the adversarial images still hang on a graph"
    assert answer.shape == expected.shape, f"expected the shape {tuple(expected.shape)}, got {tuple(answer.shape)}"
    off = ((answer - expected).abs() > 1e-6).sum().item()
    assert off == 0, (
        f"epsilon {step}: {off} of {expected.numel()} pixels are not where a step on the whole network puts them"
    )
### END HIDDEN TESTS

# %% [markdown] part="B"
# # Part B · Look and explain
#
# This part is read by a person. Its cells are not run again when your work is graded: hand in the notebook with the outputs that you
# write about. Below, `lab` trains or loads the networks of lesson 06.

# %% [markdown] task="explain" points=3 minutes=20 difficulty="medium"
# ## Explain what you see
#
# Run the cell below. For three reformers it prints the accuracy in the grey box and in the white box, the share of images that survive *both*, and the accuracy under a
# white-box attack of ten smaller steps (PGD) with the same ε, on fewer images.
#
# In which rows is the white box above the grey box? What does this say about the defence, and what about the attack? Which of the four numbers would you print as "accuracy in the
# white box", and what would you write beside it? Answer in four to eight sentences, with numbers from the output.

# %%
from magnet_helpers import PGD, VANILLA, Knowledge, LabeledImages, ReformedClassifier, denoising, evaluate_accuracy

few = lab.test.spread(min(200, len(lab.test)))
for defense in (VANILLA, denoising(0.1), denoising(0.4)):
    report, network = lab.report(defense), ReformedClassifier(lab.reformer(defense), lab.classifier())
    both = report.right(Knowledge.CLASSIFIER) & report.right(Knowledge.REFORMER)
    smaller_steps = PGD(0.3, steps=10, step_size=0.06).perturb(network, few.images)
    print(f"{defense.label} (images that the white-box attack left unchanged: {report.unchanged})")
    print(f"  grey box  {report.accuracy(Knowledge.CLASSIFIER)} %")
    print(f"  white box {report.accuracy(Knowledge.REFORMER)} %")
    print(f"  both      {100 * both.float().mean():.1f} %")
    print(
        f"  PGD, white box {evaluate_accuracy(network, LabeledImages(smaller_steps, few.labels))} %  (n = {len(few)})"
    )
print(lab.note)

# %% [markdown] task="explain" part="answer"
# (Measured once: MNIST, `fast` budget, seed 0, on one processor. Others round differently, so a student's numbers differ by some points; judge the argument, with the student's own output.)
#
# The white box is above the grey box for the vanilla autoencoder (25.4 against 18.6 %) and for noise 0.1 (31.2 against 29.4 %, with
# intervals that overlap). A white-box attacker knows all that a grey-box attacker knows and can hand in the grey-box image, so he cannot be weaker. Such a row says nothing good
# about the defence: the one step along the gradient was a bad attack. If he takes the better of the two images, 13.8 and 21.1 % are left, below both boxes. Ten smaller steps leave
# 1.0 [0.3, 3.6] and 1.5 [0.5, 4.3] % of 200 images. The gradient was not zero (no image was left unchanged): it changes along the way, and one large step cannot follow. With noise 0.4 the
# order is as it should be, 52.6 below 62.0 %, but PGD leaves 8.5 [5.4, 13.2] %. So a row without the sign is not safe either. I would print the lowest number, PGD's, as "at most", with ε, steps, n
# and the seed beside it: a stronger attack may lower it further.

# %% [markdown] task="explain" part="rubric"
# - 1 point: names the rows with the white box above the grey box, with numbers, and says that who knows more can hand in the grey-box image, so it is the attack that is weak (or its gradient masked).
# - 1 point: uses "both" or PGD: the number below either box, and that FGSM's number is an upper bound only.
# - 1 point: does not call a row without the sign safe, or names what stays open (stronger attacks, more steps, one seed, few images).

# %% [markdown] task="investigate" points=5 minutes=45 difficulty="open"
# ## Investigate
#
# *How many steps does the attacker need?* Or: *does an attack on one reformer work on another one that was trained from another seed?* Or ask a question of your own about attacks. Say what you
# expect and why, before you measure. Measure with at least three seeds (of the reformer: train small ones as below, all before the same classifier), and give the attack with all its settings. Draw one figure with
# labelled axes and intervals. Say what you found, also if it is not what you expected.
# Name n, budget, dataset and seeds, and one limit of what you measured.
#
# ```python
# from magnet_helpers import PGD, ConvAutoencoder, DenoisingLoss, ReformedClassifier, TrainingConfig, fit, initial_weights_from
#
# with initial_weights_from(0):
#     reformer = ConvAutoencoder()
# fit(reformer, DenoisingLoss(0.4), lab.data.train.first(1000), lab.data.validation.first(500), TrainingConfig(epochs=5, learning_rate=5e-3, seed=0))
# defended = ReformedClassifier(reformer, lab.classifier())
# adversarial = PGD(0.3, steps=5, step_size=0.1).perturb(defended, lab.test.spread(200).images)
# ```
#
# (That is for MNIST. Other datasets, and the `smoke` budget, may have fewer images; then leave out `.first(…)`, and take `lab.test.images`.)

# %%
# Your code: as many cells as you like, below this one.

# %% [markdown] task="investigate" part="answer"
# (A sketch of a good report: what it says of results is expected, not measured.)
#
# Expectation: the slope at the clean image is a good guide for a small step only, so several steps of the same total reach do more than one, and the gain levels off once each step is small.
# To be measured with three reformers (noise 0.4, seeds 0, 1, 2) before one classifier, 200 test images, ε = 0.3: accuracy in grey and white box for 1, 2, 5, 10, 20 and 40 steps, the step size 0.6 divided by the number of steps (at most 0.3). One figure:
# accuracy over the number of steps on a logarithmic axis, a line for each box, with the interval over the seeds. If the white box falls below the grey box as the steps grow,
# the order of the boxes under one step was the attack's fault. Limits: one ε, 200 images, no restarts, a classifier of one seed; more steps may still lower it.

# %% [markdown] task="investigate" part="rubric"
# - 1 point: a question that the measurement can answer, and an expectation with a reason, written before.
# - 1 point: at least three seeds, the attack with all its settings, and n, budget and dataset named.
# - 1 point: one figure, axes labelled, intervals drawn.
# - 1 point: the conclusion says no more than the intervals allow.
# - 1 point: names a limit of the measurement (for example that a still stronger attack may lower every number).
