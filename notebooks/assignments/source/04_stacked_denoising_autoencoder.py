# %% [markdown]
# # Assignment 04 · Stacked denoising autoencoders
#
# {{badges}}
#
# Lesson 04 pretrained autoencoders one after the other and then trained them as one network. Here you write the three steps yourself: passing images on, making
# the images that a stage learns from, and a step of the joint training.
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
# In all three tasks `stages` is a list of networks that map images (N, 1, H, W) to images of the same shape, first stage first.

# %% [markdown] task="chain" points=2 minutes=10 difficulty="easy"
# ## What comes out of each stage
#
# Show the images to the first stage, what it returns to the second stage, and so on. Return a list with the images after each stage: as many
# entries as there are stages. The last entry is the output of the stack.


# %% task="chain" part="solution"
def after_each_stage(stages, images):
    """Return the list of the images after stage 1, after stage 2, and so on, each (N, 1, H, W)."""
    ### BEGIN SOLUTION
    found = []
    for stage in stages:
        images = stage(images)
        found.append(images)
    return found
    ### END SOLUTION


# %%
from magnet_helpers.checks import check_after_each_stage

check_after_each_stage(after_each_stage)

# %% task="chain" part="tests"
# More tests run here when your work is graded.
### BEGIN HIDDEN TESTS
import torch
from torch import nn

torch.manual_seed(41)
links = [nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.Sigmoid()) for _ in range(4)]
shown = torch.rand(5, 1, 9, 6)
for length in (1, 2, 4):
    answer = after_each_stage(links[:length], shown.clone())
    assert len(answer) == length, f"{length} stages: expected {length} entries, got {len(answer)}"
    for number in range(length):
        expected = nn.Sequential(*links[: number + 1])(shown)
        assert answer[number].shape == expected.shape, (
            f"expected the shape {tuple(expected.shape)}, got {tuple(answer[number].shape)}"
        )
        assert torch.allclose(answer[number], expected, atol=1e-6), (
            f"{length} stages: what comes out of stage {number + 1} is not what it should be"
        )
### END HIDDEN TESTS

# %% [markdown] task="inputs" points=4 minutes=20 difficulty="hard"
# ## What a stage learns from
#
# Stages are pretrained one after the other. Stage 1 is a denoising autoencoder on the clean images. Stage `k` is a denoising autoencoder too. Its
# "clean" images are what the stages 1 to `k` − 1 make of the *clean* images. Noise is added to them only later, in its loss. Return them for stage `k`, with
# `k` counted from 1.
#
# While stage `k` learns, the stages before it must not. So:
#
# - The stages work in evaluation mode while you use them: some hold dropout or batch normalisation.
# - No gradient comes with the images.
# - Afterwards every stage is as it was: its weights, its mode (training or evaluation), and whether its weights want gradients. Different stages
#   may have come in different modes. (You may take it that within a stage all parts have the same mode.)


# %% task="inputs" part="solution"
import torch


def stage_images(stages, k, images):
    """Return the "clean" images (N, 1, H, W) that stage k (counted from 1) is pretrained on."""
    ### BEGIN SOLUTION
    with torch.no_grad():
        for stage in stages[: k - 1]:
            was_training = stage.training
            stage.eval()
            images = stage(images)
            stage.train(was_training)
    return images
    ### END SOLUTION


# %%
from magnet_helpers.checks import check_stage_images

check_stage_images(stage_images)

# %% task="inputs" part="tests"
# More tests run here when your work is graded.
### BEGIN HIDDEN TESTS
from copy import deepcopy

import torch
from torch import nn

torch.manual_seed(42)
links = [
    nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.Dropout(0.4), nn.Conv2d(2, 1, 1), nn.Sigmoid())
    for _ in range(4)
]
shown = torch.rand(6, 1, 8, 7)
for k, modes in ((1, "tete"), (2, "tett"), (3, "tett"), (4, "ettt"), (4, "eeee"), (3, "tttt")):
    for link, mode in zip(links, modes, strict=True):
        link.train(mode == "t")
    links[1].requires_grad_(modes[0] == "e")
    theirs = deepcopy(links)
    answer = torch.as_tensor(stage_images(theirs, k, shown.clone()))
    expected = shown
    for link in deepcopy(links[: k - 1]):
        expected = link.eval()(expected).detach()
    assert answer.shape == expected.shape, f"expected the shape {tuple(expected.shape)}, got {tuple(answer.shape)}"
    assert torch.allclose(answer, expected, atol=1e-5), f"stage {k}: the images are not those that it learns from"
    assert not answer.requires_grad, "the images carry gradients"
    for number, (before, after) in enumerate(zip(links, theirs, strict=True), start=1):
        for name, value in before.state_dict().items():
            assert torch.equal(value, after.state_dict()[name]), f"stage {number} changed: {name}"
        for name, module in before.named_modules():
            kept = module.training == after.get_submodule(name).training
            assert kept, (
                f"stage {number} was {'in training' if module.training else 'in evaluation'} mode and is not any more"
            )
        for name, value in before.named_parameters():
            assert value.requires_grad == after.get_parameter(name).requires_grad, (
                f"stage {number}: {name} was frozen or thawed"
            )
### END HIDDEN TESTS

# %% [markdown] task="joint" points=4 minutes=30 difficulty="hard"
# ## One step of the joint training
#
# A friend wrote this step. It runs, the loss falls a little, and the stack is hardly better than before.
#
# ```python
# def joint_step(stages, images, noisy, step_size):
#     optimizer = torch.optim.SGD(stages[-1].parameters(), lr=step_size)
#     output = noisy
#     for stage in stages:
#         output = stage(output.detach())
#     loss = ((output - noisy) ** 2).sum() / len(images)
#     loss.backward()
#     optimizer.step()
#     return loss
# ```
#
# It has four mistakes. Two keep stages from learning. One makes the stack learn the wrong thing. One adds to the step what others left behind:
# the weights may still hold gradients of their pretraining. Write the step without these four mistakes. `noisy` are the corrupted images and `images` the clean ones. L is the squared error of the whole stack, summed over the pixels, mean over the images. Change every weight θ of
# every stage to θ − step_size · ∂L/∂θ, once, and return L as it was *before* the step.


# %% task="joint" part="solution"
import torch


def joint_step(stages, images, noisy, step_size):
    """Take one step of gradient descent with all stages at once and return the loss before it."""
    ### BEGIN SOLUTION
    optimizer = torch.optim.SGD([weight for stage in stages for weight in stage.parameters()], lr=step_size)
    output = noisy
    for stage in stages:
        output = stage(output)
    loss = ((output - images) ** 2).sum() / len(images)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss
    ### END SOLUTION


# %%
from magnet_helpers.checks import check_joint_step

check_joint_step(joint_step)

# %% task="joint" part="tests"
# More tests run here when your work is graded.
### BEGIN HIDDEN TESTS
from copy import deepcopy

import torch
from torch import nn

torch.manual_seed(43)
for length, count, step_size in ((3, 5, 0.01), (1, 1, 0.1), (2, 8, 0.001)):
    ours = [
        nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Tanh(), nn.Conv2d(2, 1, 3, padding=1), nn.Sigmoid()).double()
        for _ in range(length)
    ]
    theirs = deepcopy(ours)
    for left in (weight for stage in theirs for weight in stage.parameters()):
        left.grad = torch.ones_like(left)  # as the pretraining leaves it
    clean, corrupted = torch.rand(count, 1, 6, 9).double(), torch.rand(count, 1, 6, 9).double()
    for step in (1, 2, 3):  # the second step finds what the first one left
        answer = torch.as_tensor(joint_step(theirs, clean.clone(), corrupted.clone(), step_size))
        error = nn.Sequential(*ours)(corrupted) - clean
        loss = error.square().flatten(1).sum(dim=1).mean()
        assert answer.numel() == 1, f"expected a single number, got the shape {tuple(answer.shape)}"
        assert abs(answer.item() - loss.item()) < 1e-5 * loss.item(), (
            f"{length} stages, step {step}: expected the loss {loss.item():.6f}, got {answer.item():.6f}"
        )
        weights = [weight for stage in ours for weight in stage.parameters()]
        gradients = torch.autograd.grad(loss, weights)
        for number, (before, after) in enumerate(zip(ours, theirs, strict=True), start=1):
            size = len(list(before.parameters()))
            its = gradients[(number - 1) * size : number * size]
            for weight, gradient, moved in zip(before.parameters(), its, after.parameters(), strict=True):
                with torch.no_grad():
                    weight -= step_size * gradient
                assert torch.allclose(
                    weight, moved, rtol=0, atol=1e-4 * step_size * gradient.abs().max().item() + 1e-12
                ), f"step {step}: stage {number} of {length} did not move as it should"
### END HIDDEN TESTS

# %% [markdown] part="B"
# # Part B · Look and explain
#
# This part is read by a person. Its cells are not run again when your work is graded: hand in the notebook with the outputs that you
# write about. Below, `lab` trains or loads the networks of lesson 04.

# %% [markdown] task="explain" points=3 minutes=20 difficulty="medium"
# ## Explain what you see
#
# Every defence below answers the same test images, in front of the same classifier. So two defences can be compared image by image. The cell
# prints each accuracy in the grey box with its own interval, and then the *paired* differences, in points.
#
# 1. The interval of a paired difference is narrower than those of the two accuracies suggest. Why?
# 2. Which differences are more than luck of the test images? Which luck is in none of these intervals?
# 3. Somebody concludes: "three autoencoders in a row defend better *because* the network is deeper". Name two other things that differ between the rows.
#
# Answer in five to ten sentences, with numbers from the output.

# %%
from itertools import combinations

from magnet_helpers import Knowledge, difference, stacked

lab.prepare([stacked(size, 0.4) for size in (1, 2, 3)])
reports = {size: lab.report(stacked(size, 0.4)) for size in (1, 2, 3)}
for size, report in reports.items():
    print(f"{size} in a row: {report.accuracy(Knowledge.CLASSIFIER)} %")
for first, second in combinations(reports, 2):
    right = [reports[size].right(Knowledge.CLASSIFIER)[None] for size in (first, second)]
    print(f"{second} instead of {first}: {difference(*right).in_percent(signed=True)} points")
    changed = [int((a & ~b).sum()) for a, b in (right, right[::-1])]
    print(f"   images that only {first} gets right: {changed[0]}, that only {second} gets right: {changed[1]}")
print(lab.note)
print({name: getattr(lab.budget, name) for name in ("denoising_epochs", "pretraining_epochs", "stack_epochs")})

# %% [markdown] task="explain" part="answer"
# (Measured once: MNIST, `fast` budget, seed 0, on one processor. Others round differently, so a student's numbers differ by some points; judge the argument, with the student's own output.)
#
# The two accuracies are high or low on the same images: an image that is hard for one reformer is mostly hard for the other one. In the difference that
# common luck cancels, and only images on which the two disagree count. Between 1 and 3 in a row these are 34 and 411 of 4,000. So the difference of +9.4 points is known to
# ± 1.0, although each accuracy is known to about ± 1.5 only. By luck of the test images none of the three differences is explained: +7.9 ± 0.9, +9.4 ± 1.0 and,
# smaller, +1.5 ± 0.7. The luck of training is in none of them: each row is one training with one seed, and one classifier. A step of 1.5 points may turn round with another seed.
# The rows differ in more than depth: a stack of three has three times the weights, it was trained for more epochs in all (three times 6 and then 3 together, against 6), and its last training
# starts from trained stages. Any of these may be the cause.

# %% [markdown] task="explain" part="rubric"
# - 1 point: explains pairing: the two make many of the same mistakes, which cancel; only images on which they disagree count.
# - 1 point: judges the differences by their intervals, with numbers, and names the luck of training (or of the classifier) as left out.
# - 1 point: names two other things that differ: number of weights, epochs or total work, a start from trained stages.

# %% [markdown] task="investigate" points=5 minutes=50 difficulty="open"
# ## Investigate
#
# *Does depth pay when it costs the same?* A stack of three passes the training images through more autoencoders, in more epochs, than a single one. Give
# the single one the same work, in epochs times autoencoders, and compare. Or ask a question of your own about stacks. Say what you expect and why, before you measure.
# Measure with at least three seeds. Draw one figure with labelled axes and intervals. Say what you found, also if it is not what you expected.
# Name n, budget, dataset and seeds, and one limit of what you measured.
#
# A training is one call:
# `fit(network, DenoisingLoss(0.4), lab.data.train.first(5000), lab.data.validation.first(500), TrainingConfig(epochs=6, learning_rate=5e-3, schedule="linear", batch_size=32, seed=0))`.
# (That is for MNIST. Other datasets may have fewer images; then leave out `.first(…)`.)
# A later stage is trained on other images: `LabeledImages(apply_model(stage_1, images), labels)`. A stack is `StackedAutoencoder([…])`. Grey-box accuracy is
# `evaluate_accuracy(ReformedClassifier(network, lab.classifier()), LabeledImages(lab.attacked(), lab.test.labels))`. All these names come
# from `magnet_helpers`. Start with few images: three
# seeds of a stack of three are many trainings.

# %%
# Your code: as many cells as you like, below this one.

# %% [markdown] task="investigate" part="answer"
# (A sketch of a good report: what it says of results is expected, not measured.)
#
# Expectation: with equal work the single autoencoder gains some points, but a part of the stack's advantage stays, since each stage smooths again. To be measured, with
# 2,000 images and three seeds: a stack of three (6 epochs for each stage, 3 epochs together, that is 3·6 + 3·3 = 27 epochs of one autoencoder) and a
# single one for 27 epochs; grey-box, white-box and clean accuracy as mean and interval over seeds and images, and the paired difference. The single one has a third
# of the weights: a second control with wider layers would separate weights from depth. The step size falls to zero over all epochs of a training, so 27 epochs in one go are
# not the same as several short trainings.

# %% [markdown] task="investigate" part="rubric"
# - 1 point: a question that the measurement can answer, and an expectation with a reason, written before.
# - 1 point: at least three seeds, and n, budget and dataset named.
# - 1 point: one figure, axes labelled, intervals drawn.
# - 1 point: the conclusion says no more than the intervals allow.
# - 1 point: says how "the same cost" was counted and what it leaves unequal (weights, memory, schedule); for a question of one's own: names a limit.
