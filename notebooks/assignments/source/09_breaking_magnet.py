# %% [markdown]
# # Assignment 09 · Breaking a defence
#
# {{badges}}
#
# Lesson 09 attacked with many steps, with knowledge of the detectors and without gradients. Here you write three parts of such attacks yourself. Then
# you break a MagNet of your own, and say what you did so that others can check it.
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

# %%
import torch
from torch.nn.functional import cross_entropy

# %% [markdown] task="pgd" points=4 minutes=30 difficulty="hard"
# ## PGD
#
# Projected gradient descent, from the clean image itself (no random start). Repeat `steps` times:
#
# 1. take the gradient of the cross entropy of `labels` with respect to the images, where they are *now*;
# 2. move each pixel by `step_size` along the gradient's sign, so that the loss rises;
# 3. bring each pixel back to within `epsilon` of the **clean** image, and into [0, 1].
#
# Return the images after the last step, in the dtype that they came in. Leave the images that you were given as they are.
#
# The images need not have 28 × 28 pixels. The tests' networks and images are in float64: there a gradient near zero keeps its sign.


# %% task="pgd" part="solution"
def pgd(network, images, labels, epsilon, step_size, steps):
    """Return the adversarial images (N, 1, H, W) for images in [0, 1] and their labels (N,)."""
    ### BEGIN SOLUTION
    low, high = (images - epsilon).clamp(min=0), (images + epsilon).clamp(max=1)
    adversarial = images.clone()
    for _ in range(steps):
        adversarial.requires_grad_()
        loss = cross_entropy(network(adversarial), labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, adversarial)
        adversarial = (adversarial.detach() + step_size * gradient.sign()).clamp(low, high)
    return adversarial
    ### END SOLUTION


# %%
from magnet_helpers.checks import check_pgd

check_pgd(pgd)

# %% task="pgd" part="tests"
# More tests run here when your work is graded.
### BEGIN HIDDEN TESTS
import torch

for number, (n, epsilon, step_size, steps) in enumerate(
    ((1, 0.3, 0.05, 12), (5, 0.1, 0.03, 7), (3, 0.2, 0.3, 4), (4, 0.25, 0.4, 1))
):
    torch.manual_seed(900 + number)
    first, second = torch.randn(16, 25).double() / 2, torch.randn(10, 16).double()

    def network(some, first=first, second=second):
        return torch.sin(3 * (some.flatten(start_dim=1) @ first.T)) @ second.T

    clean = (1.3 * torch.rand(n, 1, 5, 5).double() - 0.15).clamp(0, 1)
    theirs = torch.randint(0, 10, (n,))
    expected = clean.clone()
    for _ in range(steps):
        # by hand: d loss / d logits = softmax - one-hot, then back through the two layers
        inner = 3 * (expected.flatten(start_dim=1) @ first.T)
        error = (torch.sin(inner) @ second.T).softmax(dim=1) - torch.nn.functional.one_hot(theirs, 10)
        slope = ((error @ second) * torch.cos(inner) * 3) @ first
        moved = expected + step_size * slope.reshape(clean.shape).sign()
        moved = torch.maximum(torch.minimum(moved, clean + epsilon), clean - epsilon)
        expected = moved.clamp(0, 1)
    given = clean.clone()
    found = pgd(network, given, theirs.clone(), epsilon, step_size, steps)
    assert torch.equal(given.detach(), clean), "the clean images were changed"
    found = found.detach()
    assert found.shape == clean.shape, f"expected the shape {tuple(clean.shape)}, got {tuple(found.shape)}"
    far = (found - clean).abs().max().item()
    assert far <= epsilon + 1e-6, f"a pixel lies {far:.3f} from the clean image, epsilon is {epsilon}"
    assert found.min() >= 0 and found.max() <= 1, f"pixels from {found.min().item():.3f} to {found.max().item():.3f}"
    off = int(((found - expected).abs() > 1e-6).sum())
    assert off == 0, (
        f"epsilon {epsilon}, {steps} steps of {step_size}: {off} of {found.numel()} pixels are not as expected"
    )
### END HIDDEN TESTS

# %% [markdown] task="average" points=3 minutes=20 difficulty="medium"
# ## Against a random reformer
#
# MagNet may keep several reformers and pick one at random for each image. The attacker knows them all, but not which one his image will meet. So he follows the
# *mean over the reformers of the gradient* (expectation over transformation, Athalye et al. 2018).
#
# For each reformer: reform the images, classify them, take the cross entropy of `labels`, and take its gradient with respect to the images that go **into** the
# reformer. Return the mean of these gradients, in the shape of the images.
#
# An image's gradient must not depend on how many others are in the batch. So sum the losses of the images; a mean would divide by their number.


# %% task="average" part="solution"
def average_gradient(network, reformers, images, labels):
    """Return the mean gradient (N, 1, H, W) over a list of reformers, for images and labels (N,)."""
    ### BEGIN SOLUTION
    images = images.clone().requires_grad_()
    losses = [cross_entropy(network(reformer(images)), labels, reduction="sum") for reformer in reformers]
    (gradient,) = torch.autograd.grad(sum(losses) / len(losses), images)
    return gradient
    ### END SOLUTION


# %%
from magnet_helpers.checks import check_average_gradient

check_average_gradient(average_gradient)

# %% task="average" part="tests"
# More tests run here when your work is graded.
### BEGIN HIDDEN TESTS
import torch

for number, (n, many) in enumerate(((1, 2), (4, 1), (3, 5))):
    torch.manual_seed(910 + number)
    classify, bends = torch.randn(10, 25).double(), torch.randn(many, 25, 25).double() / 5
    bends[0] *= 4  # one reformer with a larger gradient than the others

    def network(some, classify=classify):
        return some.flatten(start_dim=1) @ classify.T

    reformers = [
        lambda some, bend=bend: torch.tanh(some.flatten(start_dim=1) @ bend.T).reshape(some.shape) for bend in bends
    ]
    some, theirs = torch.rand(n, 1, 5, 5).double(), torch.randint(0, 10, (n,))
    expected = torch.zeros(n, 25).double()
    for bend in bends:
        # by hand: d loss / d logits = softmax - one-hot, then back through the classifier and the reformer
        reformed = torch.tanh(some.flatten(start_dim=1) @ bend.T)
        error = (reformed @ classify.T).softmax(dim=1) - torch.nn.functional.one_hot(theirs, 10)
        expected += ((error @ classify) * (1 - reformed**2)) @ bend / many
    expected = expected.reshape(some.shape)
    found = average_gradient(network, reformers, some.clone(), theirs.clone()).detach()
    assert found.shape == some.shape, f"expected the shape {tuple(some.shape)}, got {tuple(found.shape)}"
    worst = (found - expected).abs().max().item()
    assert worst < 1e-5 * expected.abs().max().item(), (
        f"{n} images, {many} reformers: the gradient is off by up to {worst:.3g}, its largest value is {expected.abs().max().item():.3g}"
    )
### END HIDDEN TESTS

# %% [markdown] task="gain" points=4 minutes=25 difficulty="medium"
# ## The aim of an attacker who knows the detectors
#
# He wants the wrong answer, and no detector may see it. Lesson 09 puts both into one number for each image, which he raises. Here it is without the slack:
#
# $$\min(\mathrm{margin},\ \mathrm{confidence}) - \mathrm{weight} \cdot \sum_{d=1}^{D} \max\Big(\frac{s_d - t_d}{t_d},\ 0\Big)$$
#
# The margin is the largest *wrong* logit minus the right one. `scores` (N, D) are those of D detectors, `thresholds` (D,) are theirs, all
# more than 0. Return one number for each image, (N,), for all images at once and for any D. The gradient has to reach the logits *and* the scores. Leave your arguments as they are.


# %% task="gain" part="solution"
def detector_aware_gain(logits, labels, scores, thresholds, weight, confidence):
    """Return the gains (N,) for logits (N, 10), labels (N,), scores (N, D) and thresholds (D,)."""
    ### BEGIN SOLUTION
    right = logits.gather(1, labels[:, None])[:, 0]
    wrong = logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1)
    excess = ((scores - thresholds) / thresholds).clamp(min=0)
    return (wrong - right).clamp(max=confidence) - weight * excess.sum(dim=1)
    ### END SOLUTION


# %%
from magnet_helpers.checks import check_detector_aware_gain

check_detector_aware_gain(detector_aware_gain)

# %% task="gain" part="tests"
# More tests run here when your work is graded.
### BEGIN HIDDEN TESTS
import torch

for number, (n, detectors, weight, confidence) in enumerate(((1, 1, 2.0, 1.0), (7, 4, 0.5, 3.0), (20, 2, 5.0, 0.0))):
    torch.manual_seed(920 + number)
    outputs, theirs = 4 * torch.randn(n, 10) - 20 * number, torch.randint(0, 10, (n,))
    limits = 0.01 + 10 * torch.rand(detectors) ** 3
    seen = limits * (0.4 + 1.4 * torch.rand(n, detectors))
    expected, to_logits, to_scores = [], torch.zeros(n, 10), torch.zeros(n, detectors)
    for row, (line, label, marks) in enumerate(zip(outputs.tolist(), theirs.tolist(), seen.tolist(), strict=True)):
        other = max((digit for digit in range(10) if digit != label), key=line.__getitem__)
        margin = line[other] - line[label]
        gain = min(margin, confidence)
        if margin < confidence:
            to_logits[row, other], to_logits[row, label] = 1, -1
        for column, (mark, limit) in enumerate(zip(marks, limits.tolist(), strict=True)):
            if mark > limit:
                gain -= weight * (mark - limit) / limit
                to_scores[row, column] = -weight / limit
        expected.append(gain)
    left, right = outputs.clone().requires_grad_(), seen.clone().requires_grad_()
    found = detector_aware_gain(left, theirs.clone(), right, limits.clone(), weight, confidence)
    assert torch.equal(left, outputs) and torch.equal(right, seen), "the arguments were changed"
    assert found.shape == (n,), f"{n} images: expected the shape {(n,)}, got {tuple(found.shape)}"
    assert torch.allclose(found.detach().float(), torch.tensor(expected), rtol=1e-4, atol=1e-4), (
        f"{n} images, {detectors} detectors: expected {expected[0]:.4f} for the first image, got {found[0].item():.4f}"
    )
    slopes = torch.autograd.grad(found.sum(), (left, right), allow_unused=True)
    for name, slope, wanted in zip(("logits", "scores"), slopes, (to_logits, to_scores), strict=True):
        assert slope is not None, f"no gradient reaches the {name}"
        assert torch.allclose(slope, wanted, rtol=1e-4, atol=1e-5), (
            f"the gradient does not reach the {name} as it should"
        )
### END HIDDEN TESTS

# %% [markdown] part="B"
# # Part B · Look and explain
#
# This part is read by a person. Its cells are not run again when your work is graded: hand in the notebook with the outputs that you
# write about. Below, `lab` trains or loads the networks of lesson 09.

# %% [markdown] task="explain" points=3 minutes=20 difficulty="medium"
# ## The attack fails. Is the defence strong?
#
# Somebody sells you a defence. It is a classifier whose logits are multiplied by 1,000, nothing else. Run the cell below: `check_up` attacks the classifier and the defence with the same attacks.
#
# 1. Does the defence answer differently from the classifier, for any image? What does that say about its robustness?
# 2. PGD's number is better for the defence. Name *two* lines of the output that tell you not to believe it, and say why each does.
# 3. Why does PGD fail? What would you change in the attack? (Think of softmax, and of what the loss is made of.)
#
# Answer in five to ten sentences, with numbers from the output.

# %%
import torch
from magnet_helpers import PGD, check_up, evaluate_accuracy


class Loud(torch.nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return 1000 * self.network(images)


few = lab.test.spread(100)
judge = PGD(0.1, "given", steps=20, step_size=0.0125)
for name, network in (("classifier", lab.classifier()), ("defence", Loud(lab.classifier()))):
    found = check_up(network, few.images, few.labels, iterated=judge)
    print(f"{name}: clean {evaluate_accuracy(network, few)} %")
    print("\n".join(f"  {attack:<22}{accuracy} %" for attack, accuracy in found.accuracies.items()))
    print("\n".join(f"  doubt: {doubt}" for doubt in found.doubts or ["none"]))
print(lab.note_for(len(few)))

# %% [markdown] task="explain" part="answer"
# (Measured once: MNIST, `fast` budget, seed 0, n = 100, on one processor. Others round differently, so a student's numbers differ by some points; judge the argument, with the student's own output.)
#
# Multiplying by 1,000 changes no order of the logits, so every answer is the same, clean or attacked. Each image that fools the classifier fools the defence: they are exactly
# equally robust, and no more than the 39 % that PGD with twice the steps leaves of the classifier can be left. PGD says 99 % for the defence. First sign: Square, which sees no gradient and knows less, fools more than PGD (82 % left against 99 %). Second: 99 of 100 images have a
# gradient of zero, so PGD never moves. Third: with ε = 1 any image at all is allowed, and still 99 % are "robust". Reason: logits of thousands saturate softmax; the right digit has the probability 1 in float32, the loss is 0
# and its gradient rounds to 0, whose sign is 0. The network has not changed, only the loss has gone blind. Cure: divide the logits by a constant before the loss, or raise the margin (largest wrong logit minus the right one) instead of the cross entropy. Or
# make the images on the classifier and send them. That PGD fails says something about PGD here and nothing about the defence.

# %% [markdown] task="explain" part="rubric"
# - 1 point: the same answer for every image, so exactly the same robustness: what fools one fools the other.
# - 1 point: two signs of a weak attack from the output, with numbers (Square, which knows less, fools more; gradients of zero; ε = 1 leaves images; the classifier's own PGD number).
# - 1 point: the softmax is saturated, so the gradient of the cross entropy rounds to zero; a loss of logits (the margin), or dividing the logits by a constant, mends the attack.

# %% [markdown] task="investigate" points=5 minutes=60 difficulty="open"
# ## Investigate: break a MagNet of your own
#
# Build a MagNet that you believe in: your choice of reformer, detectors and false-positive rate, or several reformers of which one is picked at random for each image
# (`RandomReformer([…])` from `magnet_helpers.magnet`). Say why you believe in it, and which accuracy you expect to be left. Then
# break it as well as you can with no pixel changed by more than ε = 0.2.
#
# Report it so that somebody else could check it:
#
# - *the defence*: its parts; its clean accuracy with rejected counted as wrong;
# - *the attacker*: what he knows of it (classifier, reformer, detectors), ε, steps, step size, restarts;
# - *a weak attack beside the strong one*: the strong one must not do worse, image by image;
# - *the numbers*: n, seed, dataset; rejected, accepted and right, accepted and wrong; the share not fooled with its 95 % interval;
# - *the doubt*: what you did to see whether your attack is weak (more steps, another start, an attack without gradients, ε = 1).
#
# `MagNet.calibrated(…)` builds one (lesson 08), `DetectorAwarePGD(…).run(magnet, images, labels)`, from `magnet_helpers.attacks`, attacks it, `judge(images, labels)` counts.

# %%
# Your code: as many cells as you like, below this one.

# %% [markdown] task="investigate" part="answer"
# (A sketch of a good report: what it says of results is expected, not measured.)
#
# For example: reformer `denoising(0.4)`, MagNet's four detectors at a rate of 0.01, because denoising costs an attacker most and a larger rate catches more. Expected: more than half of the images withstand ε = 0.2. Attack 1
# (weak): PGD on the classifier alone. Attack 2: PGD through the reformer. Attack 3: `DetectorAwarePGD`, 40 and 80 steps, 1 restart, detectors known. n = 100 test images, seed 0, MNIST, fast budget. For each attack the three counts, the share not fooled with its
# interval, and the worst case over all attacks for each image. Twice the steps must fool about as many; if they fool clearly more, the number is only an upper bound and the report says so. Conclusion: no more than "at most this share withstands these
# attacks".

# %% [markdown] task="investigate" part="rubric"
# - 1 point: the defence is described so that it can be built again, with a reason, an expectation written before, and its clean accuracy (rejected counts as wrong).
# - 1 point: the attacker is described: what he knows, ε, steps, step size, restarts; he knows all parts of the defence, or the report says what it leaves open.
# - 1 point: n, seed and dataset; rejected, accepted and right, accepted and wrong; the share not fooled with its interval.
# - 1 point: a weaker attack stands beside the strong one, and the worst case or the comparison is made image by image.
# - 1 point: one real test of whether the attack is weak, and a conclusion that says no more than "at most this share is left".
