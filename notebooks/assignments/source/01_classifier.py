# %% [markdown]
# # Assignment 01 · The classifier
#
# {{badges}}
#
# Lesson 01 counted right answers and put an interval around the count. Here you write both yourself, and the loss that the classifier
# is trained with.
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

# %% [markdown] task="count" points=2 minutes=5 difficulty="easy"
# ## Count the right answers
#
# The classifier gives ten logits for each image. Its answer is the digit with the largest one. Return two whole numbers: how many
# answers are right, and how many images there were.

# %% task="count" part="solution"
import torch


def count_correct(logits, labels):
    """Return (correct, total) for logits (N, 10) and labels (N,)."""
    ### BEGIN SOLUTION
    return int((logits.argmax(dim=1) == labels).sum()), len(labels)
    ### END SOLUTION


# %%
from magnet_helpers.checks import check_count

check_count(count_correct)

# %% task="count" part="tests"
# More tests run here when your work is graded.
### BEGIN HIDDEN TESTS
import torch

torch.manual_seed(11)
for n in (1, 2, 10, 137):
    some = torch.randn(n, 10)
    theirs = torch.randint(0, 10, (n,))
    expected = sum(
        max(range(10), key=row.__getitem__) == label for row, label in zip(some.tolist(), theirs.tolist(), strict=True)
    )
    correct, total = count_correct(some, theirs)
    assert int(correct) == correct and (correct, total) == (expected, n), f"{n} images: expected {(expected, n)}"
assert tuple(count_correct(torch.eye(10), torch.arange(10))) == (10, 10)
### END HIDDEN TESTS

# %% [markdown] task="cross_entropy" points=3 minutes=15 difficulty="medium"
# ## Cross entropy that does not overflow
#
# The loss of one image is −log of the probability that softmax gives to the right digit. Return the *mean* over the images, in nats, as
# a tensor with no dimensions. Do not use PyTorch's own loss. Your function must work for a logit of 5,000 too, where `exp` is infinite: what can
# be taken away from all ten logits of an image without changing its probabilities? A network will be trained with it, so the gradient must reach the logits.


# %% task="cross_entropy" part="solution"
def cross_entropy(logits, labels):
    """Return the mean cross entropy of logits (N, 10) with labels (N,)."""
    ### BEGIN SOLUTION
    shifted = logits - logits.max(dim=1, keepdim=True).values
    log_of_sums = shifted.exp().sum(dim=1).log()
    return (log_of_sums - shifted[torch.arange(len(labels)), labels]).mean()
    ### END SOLUTION


# %%
from magnet_helpers.checks import check_cross_entropy

check_cross_entropy(cross_entropy)

# %% task="cross_entropy" part="tests"
# More tests run here when your work is graded.
### BEGIN HIDDEN TESTS
import torch

torch.manual_seed(12)
for n, scale in ((1, 1.0), (10, 4.0), (33, 2000.0)):
    some = (scale * torch.randn(n, 10)).requires_grad_()
    theirs = torch.randint(0, 10, (n,))
    expected = torch.nn.functional.cross_entropy(some.double(), theirs).float()
    answer = cross_entropy(some, theirs)
    assert answer.shape == (), f"expected a tensor without dimensions, got the shape {tuple(answer.shape)}"
    assert torch.allclose(answer, expected, rtol=1e-4), f"expected {expected.item():.5f}, got {answer.item():.5f}"
    (gradient,) = torch.autograd.grad(answer, some)
    right = (some.softmax(dim=1) - torch.nn.functional.one_hot(theirs, 10)) / n
    assert torch.allclose(gradient, right, atol=1e-5), "the gradient does not reach the logits as it should"
### END HIDDEN TESTS

# %% [markdown] task="wilson" points=3 minutes=15 difficulty="medium"
# ## The Wilson interval
#
# `k` of `n` answers are right. Return the two ends of the 95 % Wilson interval, as shares between 0 and 1, with z = 1.959964. The formula stands in
# lesson 01. Do not call a library for it.

# %% task="wilson" part="solution"
from math import sqrt


def wilson_interval(k, n):
    """Return (low, high) for k right answers out of n."""
    ### BEGIN SOLUTION
    z = 1.959964
    middle = k / n + z**2 / (2 * n)
    reach = z * sqrt(k * (n - k) / n**3 + z**2 / (4 * n**2))
    return (middle - reach) / (1 + z**2 / n), (middle + reach) / (1 + z**2 / n)
    ### END SOLUTION


# %%
from magnet_helpers.checks import check_wilson_interval

check_wilson_interval(wilson_interval)

# %% task="wilson" part="tests"
# More tests run here when your work is graded.
### BEGIN HIDDEN TESTS
from scipy.stats import binomtest

for right_answers, images in ((1135, 10000), (0, 3), (50, 50), (1, 2), (4000, 4001)):
    bounds = binomtest(right_answers, images).proportion_ci(0.95, method="wilson")
    low, high = wilson_interval(right_answers, images)
    assert abs(low - bounds.low) < 1e-6 and abs(high - bounds.high) < 1e-6, (
        f"{right_answers} of {images}: expected [{bounds.low:.6f}, {bounds.high:.6f}], got [{low:.6f}, {high:.6f}]"
    )
### END HIDDEN TESTS

# %% [markdown] part="B"
# # Part B · Look and explain
#
# This part is read by a person. Its cells are not run again when your work is graded: hand in the notebook with the outputs that you
# write about. Below, `lab` trains or loads the networks of lesson 01.

# %% [markdown] task="explain" points=3 minutes=15 difficulty="medium"
# ## Explain what you see
#
# Run the cell below. It counts how often each digit is read correctly, with its interval. Which digits differ for sure? Which
# difference may be luck? What is not covered by any of these intervals? Answer in four to eight sentences, with numbers from the output.

# %%
from magnet_helpers import Accuracy, predict

answers = predict(lab.classifier(), lab.test.images)
for digit in range(10):
    theirs = answers[lab.test.labels == digit]
    print(digit, Accuracy(int((theirs == digit).sum()), len(theirs)))
print(lab.note)

# %% [markdown] task="explain" part="answer"
# Digits whose intervals lie apart differ by more than the luck of the test images explains; with ten digits one looks at 45 pairs, so an
# interval just outside another is weak evidence. Where intervals overlap widely nothing is shown, neither a difference nor that there is
# none. The intervals cover which test images were drawn. They do not cover which network was drawn: another seed gives
# another network, whose difficult digit may be another one. They do not cover other handwriting than that of MNIST either.

# %% [markdown] task="explain" part="rubric"
# - 1 point: names a pair that differs, or says that none does, by its intervals and with numbers.
# - 1 point: says that overlap does not prove equality, or that looking at many pairs finds some by luck.
# - 1 point: names what the interval leaves out (training seed; other data).

# %% [markdown] task="investigate" points=5 minutes=40 difficulty="open"
# ## Investigate
#
# *How many training images does the classifier need?* Or ask a question of your own about the classifier. Say what you expect and why, before you measure.
# Measure with at least three seeds. Draw one figure with labelled axes and intervals. Say what you found, also if it is not what you expected.
# Name n, budget, dataset and seeds, and one limit of what you measured.
#
# A training is one call: `fit(ConvClassifier(), ClassificationLoss(), lab.data.train.first(1000), lab.data.validation, TrainingConfig(epochs=2, seed=0))`.

# %%
# Your code: as many cells as you like, below this one.

# %% [markdown] task="investigate" part="answer"
# (A sketch of a good report: what it says of results is expected, not measured.)
#
# Expectation: fewer images cost little at first, because MNIST digits are alike, and a lot below some hundred images. To be measured with three
# seeds at 100, 300, 1,000, 3,000 and 10,000 images, accuracy over the logarithm of the number with the interval over seeds. The spread over seeds should grow as the number
# falls. What was not varied (epochs, so the number of steps falls together with the images) limits what can be said.

# %% [markdown] task="investigate" part="rubric"
# - 1 point: a question that the measurement can answer, and an expectation with a reason, written before.
# - 1 point: at least three seeds, and n, budget and dataset named.
# - 1 point: one figure, axes labelled, intervals drawn.
# - 1 point: the conclusion says no more than the intervals allow.
# - 1 point: names a limit of the measurement (for example that fewer images also meant fewer steps).
