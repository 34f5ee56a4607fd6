# %% [markdown]
# # Assignment 07 · The comparison
#
# {{badges}}
#
# Lesson 07 judged the paper's claims by intervals and paired tests. Here you write the three tools that such a judgement needs, and judge a claim with them.
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

# %% [markdown] task="interval" points=3 minutes=15 difficulty="medium"
# ## A mean with its interval
#
# `values` is a list of numbers, one for each seed, two at least. Return their mean and the *half-width* of its 95 % interval: half of the distance
# between the two ends. The half-width is the standard error of the mean times the 97.5 % point of Student's t. With n values, the
# standard deviation divides by n − 1, and t has n − 1 degrees of freedom, because the mean was estimated from the same values.
#
# The 97.5 % point is `scipy.stats.t.ppf(0.975, degrees_of_freedom)`. Write the rest yourself.
#
# (These are seeds alone. The lesson's intervals know of the images as well.)

# %% task="interval" part="solution"
from math import sqrt

import numpy as np
from scipy.stats import t


def mean_with_interval(values):
    """Return (mean, half-width of the 95 % interval) of a list of at least two numbers."""
    ### BEGIN SOLUTION
    n = len(values)
    standard_error = np.std(values, ddof=1) / sqrt(n)
    return float(np.mean(values)), float(t.ppf(0.975, n - 1) * standard_error)
    ### END SOLUTION


# %%
from magnet_helpers.checks import check_mean_with_interval

check_mean_with_interval(mean_with_interval)

# %% task="interval" part="tests"
# More tests run here when your work is graded.
### BEGIN HIDDEN TESTS
import numpy as np
from scipy.stats import ttest_1samp

generator = np.random.default_rng(71)
for n in (2, 3, 5, 11):
    some = [float(each) for each in generator.normal(60, 4, n).round(2)]
    low, high = ttest_1samp(some, 0).confidence_interval(0.95)
    mean, half_width = mean_with_interval(some)
    assert abs(mean - (low + high) / 2) < 1e-3, f"{some}: expected the mean {(low + high) / 2:.4f}, got {mean:.4f}"
    assert abs(half_width - (high - low) / 2) < 2e-4 * (high - low), (
        f"{some}: expected the half-width {(high - low) / 2:.4f}, got {half_width:.4f}"
    )
mean, half_width = mean_with_interval([0.25, 0.25, 0.25, 0.25])
assert abs(mean - 0.25) < 1e-6 and abs(half_width) < 1e-6, (
    f"four equal values: expected 0.25 ± 0, got {mean} ± {half_width}"
)
### END HIDDEN TESTS

# %% [markdown] task="paired" points=4 minutes=25 difficulty="hard"
# ## A paired difference
#
# Two defences answer the same N images. `first` and `second` are boolean tensors: which answers are right. Return three numbers:
#
# - `won`: how many images only the second gets right,
# - `lost`: how many images only the first gets right,
# - `p`: take only the `won` + `lost` images. If a fair coin decided for each of them which defence wins, how probable is a split at least as uneven as this
#   one, counting both directions?
#   If there is no such image, p is 1. A chance is never above 1.
#
# p must be exact, without `scipy` and without an approximation. Your function must work when thousands of images tell the two defences apart. `0.5 ** 2000` is zero for a
# computer, and a factorial soon is too large for a float. Python's whole numbers have no such limit: `math.comb(n, k)` is exact, and
# `a / b` of two huge whole numbers is a good float.


# %% task="paired" part="solution"
from math import comb


def paired_difference(first, second):
    """Return (won, lost, p) for boolean tensors (N,): which images the first and the second defence get right."""
    ### BEGIN SOLUTION
    won, lost = int((second & ~first).sum()), int((first & ~second).sum())
    n, most = won + lost, max(won, lost)
    as_uneven = sum(comb(n, k) for k in range(most, n + 1))
    return won, lost, min(1.0, 2 * as_uneven / 2**n)
    ### END SOLUTION


# %%
from magnet_helpers.checks import check_paired_difference

check_paired_difference(paired_difference)

# %% task="paired" part="tests"
# More tests run here when your work is graded.
### BEGIN HIDDEN TESTS
import torch
from scipy.stats import binomtest

torch.manual_seed(72)
# The last but one is so uneven that p is tiny; the last one has too many for factors of one half.
for only_second, only_first, both, neither in (
    (12, 5, 30, 3),
    (2, 9, 0, 4),
    (6, 6, 10, 1),
    (1, 0, 3, 0),
    (0, 0, 8, 2),
    (0, 5, 0, 0),
    (250, 140, 600, 10),
    (1490, 1610, 5000, 900),
):
    counts = torch.tensor([only_second, only_first, both, neither])
    order = torch.randperm(int(counts.sum()))
    a = torch.repeat_interleave(torch.tensor([False, True, True, False]), counts)[order]
    b = torch.repeat_interleave(torch.tensor([True, False, True, False]), counts)[order]
    n = only_second + only_first
    p_value = binomtest(only_second, n).pvalue if n else 1.0
    won, lost, p = paired_difference(a, b)
    assert (won, lost) == (only_second, only_first), (
        f"expected {only_second} won and {only_first} lost, got {won} and {lost}"
    )
    assert abs(p - p_value) <= 1e-6 * p_value, f"{won} won, {lost} lost: expected p = {p_value:.6g}, got {p:.6g}"
### END HIDDEN TESTS

# %% [markdown] task="worst" points=2 minutes=10 difficulty="easy"
# ## The worst of several attacks
#
# `correct` is a boolean tensor with one row for each attack and one column for each image: whether the defence still answers right. The
# attacker may choose the attack for each image anew. Return the accuracy that is left to the defence, as a share between 0 and 1.


# %% task="worst" part="solution"
def worst_case(correct):
    """Return the share of right answers under the worst attack for each image; correct: booleans (A, N)."""
    ### BEGIN SOLUTION
    return correct.all(dim=0).double().mean().item()
    ### END SOLUTION


# %%
from magnet_helpers.checks import check_worst_case

check_worst_case(worst_case)

# %% task="worst" part="tests"
# More tests run here when your work is graded.
### BEGIN HIDDEN TESTS
import torch

torch.manual_seed(73)
for attacks, images in ((2, 9), (5, 5), (1, 40), (3, 1), (7, 300)):
    correct = torch.rand(attacks, images) < 0.8
    survived = sum(all(bool(row[index]) for row in correct) for index in range(images))
    answer = float(worst_case(correct.clone()))
    assert abs(answer - survived / images) < 1e-6, (
        f"{attacks} attacks, {images} images: expected {survived} of {images} = {survived / images:.4f}, got {answer:.4f}"
    )
assert float(worst_case(torch.eye(3) == 0)) == 0, "three attacks, and each image falls to one of them: expected 0"
### END HIDDEN TESTS

# %% [markdown] part="B"
# # Part B · Look and explain
#
# This part is read by a person. Its cells are not run again when your work is graded: hand in the notebook with the outputs that you
# write about. It uses the answers that the project keeps in `data/results/`, so nothing is trained.

# %% [markdown] task="explain" points=3 minutes=20 difficulty="medium"
# ## Explain what you see
#
# Run the cell below. It compares three pairs of defences in the grey box: for each seed the paired difference with its p, then the mean over the seeds with the
# interval of the lesson. In two of the pairs p is tiny for two seeds, and still the interval over the seeds includes 0. In the third pair
# no seed differs by more than 2.1 points, and the interval does not include 0.
#
# How do these fit together? What does each p say, and what not? Which of the three differences would you report, and how?
# Answer in four to eight sentences, with numbers from the output.

# %%
from magnet_helpers import contractive, denoising, stacked
from magnet_helpers.study.results import load_results
from magnet_helpers.study.threats import GREY_BOX
from scipy.stats import binomtest

results = load_results("fast")
pairs = [
    (contractive(0.0), contractive(1e-3)),
    (denoising(0.3), denoising(0.4)),
    (stacked(2, 0.4), stacked(3, 0.4)),
]
for pair in pairs:
    print(" → ".join(defense.label for defense in pair))
    keys = [(defense, GREY_BOX) for defense in pair]
    for seed in results.seeds:
        a, b = (results.not_fooled(*key, [seed])[0] for key in keys)
        won, lost = int((b & ~a).sum()), int((a & ~b).sum())
        p = binomtest(won, won + lost).pvalue
        print(f"  seed {seed}: {100 * (won - lost) / len(a):+.1f} points ({won} won, {lost} lost), p = {p:.1g}")
    print(f"  over the seeds: {results.gain(*keys).in_percent(signed=True)} points")
print(results.note)

# %% [markdown] task="explain" part="answer"
# (Computed from the answers kept in `data/results/`, so the same on every machine.)
#
# Each p asks about two trained networks: do *these two* differ on images like these? For the contractive pair the answer is yes for seed 1 (+2.1 points,
# p = 0.0001) and for seed 2 (−2.8 points, p = 2e-08). But the two differences have opposite signs. So the penalty is not what they show: another training gives another
# difference. The interval over seeds asks whether the *recipe* helps, also in the next training. It has to cover +0.6, +2.1 and −2.8, so it is
# −0.0 ± 6.2 and decides nothing, neither that the penalty helps nor that it does not. The third stage of the stack gains 1.5, 2.0 and 1.8 points. That is less than 2.8, but steady,
# and 1.8 ± 0.7 does not include 0. For denoising, −0.7, +2.3 and +1.4 give 1.0 ± 3.7: undecided. I would report all three with their
# intervals and the number of seeds, the third as a gain for this attack and budget, and none by the p of one seed.

# %% [markdown] task="explain" part="rubric"
# - 1 point: says that a p is about two trained networks and the images, and that it does not speak of the next training.
# - 1 point: sees that the signs differ between the seeds in the contractive pair, or that the steady small difference has the narrow interval, with numbers.
# - 1 point: reports with interval and seeds, and calls what is undecided undecided (not "no effect").

# %% [markdown] task="investigate" points=5 minutes=45 difficulty="open"
# ## Investigate: one claim of the paper
#
# Choose one claim of the paper, or of a text about it, that the project's results can test. It may stand in the ledger, if you test it in another way than the
# ledger does (another noise level, another setting, the worst of both boxes, another length of the classifier's training). Write it as a
# difference and a threshold, and say what you expect and why, *before* you compute. Then give your verdict: it holds, it does not hold, or it is undecided.
#
# Draw one figure with labelled axes and intervals. Use all seeds. Name n, budget, dataset and seeds, and one limit of your verdict. You have `results.find`, `results.not_fooled`, `results.gain`, `difference` and `estimate` (the last two from `magnet_helpers`), and your own functions.
# `results.not_fooled(defense, GREY_BOX)` gives booleans, one row for each seed and one column for each image; `WHITE_BOX` and `CLEAN` come from `magnet_helpers.study.threats`, too.

# %%
# Your code: as many cells as you like, below this one.

# %% [markdown] task="investigate" part="answer"
# (Computed from the answers kept in `data/results/`, so the same on every machine.)
#
# Claim: "a third autoencoder still helps if the attacker may choose, image by image, between the grey-box and the white-box image". As a difference: the share of images
# that survive both, SDAE(3) minus SDAE(2), noise 0.4; threshold 0. Expectation: smaller than the gain in either box, because an image counts only if the third stage saves it in both. For each seed
# the two rows of answers are joined by "and" (as in `worst_case`), then `difference` gives the mean over seeds and images with its interval. Found, with the fast budget, three seeds and 4,000 images:
# +1.3 ± 0.7 points, so the claim holds for FGSM. The gains in the boxes are +1.8 ± 0.7 and +1.6 ± 0.6; that this one is smaller is not shown, their intervals overlap. The accuracies themselves, 60.4 ± 4.6 and 61.7 ± 4.7,
# could not have told: they share classifier and images, so only the paired difference is narrow. The figure has one line for each defence, with grey box, white box and both, and intervals over the seeds.
# Limits: three seeds, the fast budget, one step of FGSM, and a claim chosen by someone who knew the lesson's tables.

# %% [markdown] task="investigate" part="rubric"
# - 1 point: a claim written as a difference and a threshold, with the setting named and an expectation with a reason, before the numbers.
# - 1 point: paired on the same images and seeds; all seeds used; n, budget and dataset named.
# - 1 point: one figure, axes labelled, intervals drawn.
# - 1 point: the verdict follows from the interval and the threshold, and "undecided" is not turned into "no effect".
# - 1 point: names a limit (few seeds, FGSM only, budget, a claim chosen after looking, one of many tests).
