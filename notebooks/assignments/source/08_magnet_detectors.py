# %% [markdown]
# # Assignment 08 · Detectors
#
# {{badges}}
#
# Lesson 08 gave MagNet its other half: detectors that refuse to answer. Here you write the three steps of one yourself: the score of an image, the
# threshold with its price, and the count of a defence that may say "no".
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

# %% [markdown] task="score" points=2 minutes=10 difficulty="easy"
# ## How strange is an image?
#
# An autoencoder has made `reconstructions` of `images`. Return the score of each image: the mean over its pixels of |x − x̂|ᵖ, where x̂ is the
# reconstruction and p is 1 or 2. The answer is a tensor of shape (N,).
#
# Stay with PyTorch's functions and detach nothing. An attacker who knows the detector follows the gradient of this score (lesson 09), so it must reach both the
# images and the reconstructions.


# %% task="score" part="solution"
def reconstruction_score(images, reconstructions, p):
    """Return the scores (N,) of images (N, 1, 28, 28) with their reconstructions (N, 1, 28, 28)."""
    ### BEGIN SOLUTION
    return (images - reconstructions).abs().pow(p).mean(dim=(1, 2, 3))
    ### END SOLUTION


# %%
from magnet_helpers.checks import check_reconstruction_score

check_reconstruction_score(reconstruction_score)

# %% task="score" part="tests"
# More tests run here when your work is graded.
### BEGIN HIDDEN TESTS
import torch

torch.manual_seed(801)
for n in (1, 3, 28):
    some, theirs = torch.rand(n, 1, 28, 28), torch.rand(n, 1, 28, 28) ** 2
    for p in (1, 2):
        expected = [
            sum(abs(x - y) ** p for x, y in zip(one.flatten().tolist(), other.flatten().tolist(), strict=True)) / 784
            for one, other in zip(some, theirs, strict=True)
        ]
        left, right = some.clone().requires_grad_(), theirs.clone().requires_grad_()
        scores = reconstruction_score(left, right, p)
        assert scores.shape == (n,), f"{n} images: expected the shape {(n,)}, got {tuple(scores.shape)}"
        assert torch.allclose(scores.float(), torch.tensor(expected), rtol=1e-4), (
            f"p = {p}: expected {expected[0]:.6f} for the first image, got {scores[0].item():.6f}"
        )
        slopes = torch.autograd.grad(scores.sum(), (left, right), allow_unused=True)
        slope = (some - theirs).sign() * (1 if p == 1 else 2 * (some - theirs).abs()) / 784
        for name, found, wanted in zip(("images", "reconstructions"), slopes, (slope, -slope), strict=True):
            assert found is not None, f"no gradient reaches the {name}"
            assert torch.allclose(found, wanted, atol=1e-6), f"the gradient does not reach the {name} as it should"
same = torch.rand(2, 1, 28, 28)
assert reconstruction_score(same, same.clone(), 1).tolist() == [0, 0], "a perfect copy has the score 0"
### END HIDDEN TESTS

# %% [markdown] task="threshold" points=4 minutes=20 difficulty="medium"
# ## A threshold that keeps its price
#
# You have the scores of n clean validation images and a false-positive rate. An image is rejected if its score is **above** the threshold; a score
# that equals the threshold is accepted. Return two things:
#
# 1. the *smallest* threshold with which no more than this share of the clean images is rejected. Smallest, because each image above it may be an attack;
# 2. *how many* of these clean images it rejects.
#
# The rate is at least 0 and less than 1. Do not round up: 0.1 of 37 images are 3.7, so at most 3 are rejected. Some scores can be equal. Then it can
# happen that fewer images are rejected than the rate allows. So count the rejected images, do not compute their number from the rate. The scores come as a tensor of shape (n,), in no order.


# %% task="threshold" part="solution"
def choose_threshold(clean_scores, false_positive_rate):
    """Return (threshold, rejected) for clean scores (n,) and a rate in [0, 1)."""
    ### BEGIN SOLUTION
    allowed = int(false_positive_rate * len(clean_scores))
    threshold = clean_scores.sort(descending=True).values[allowed].item()
    return threshold, int((clean_scores > threshold).sum())
    ### END SOLUTION


# %%
from magnet_helpers.checks import check_threshold

check_threshold(choose_threshold)

# %% task="threshold" part="tests"
# More tests run here when your work is graded.
### BEGIN HIDDEN TESTS
import torch

torch.manual_seed(802)
for n, rate in (
    (1, 0.5),
    (8, 0.125),
    (8, 0.25),
    (13, 0.3),
    (30, 0.1),
    (64, 0.0),
    (100, 0.5),
    (250, 0.01),
    (64, 0.96875),
):
    for clean in (torch.rand(n), torch.randint(0, 6, (n,)) / 4.0, torch.full((n,), 0.25)):
        values = clean.tolist()
        expected = min(each for each in values if sum(value > each for value in values) <= rate * n)
        above = sum(value > expected for value in values)
        threshold, rejected = choose_threshold(clean.clone(), rate)
        assert abs(float(threshold) - expected) < 1e-6, (
            f"{n} images, rate {rate}: expected the threshold {expected:.4f}, got {float(threshold):.4f}"
        )
        assert float(rejected) == above, f"{n} images, rate {rate}: it rejects {above} of them, got {float(rejected):g}"
### END HIDDEN TESTS

# %% [markdown] task="accuracies" points=3 minutes=10 difficulty="easy"
# ## Two accuracies
#
# D detectors have looked at N images: `rejected` is a table of booleans (N, D). One of them is enough to reject an image. `answers` (N,) are the classifier's answers, also to
# rejected images; `labels` (N,) are the right ones. Return two shares of *all* N images, between 0 and 1:
#
# 1. a rejected image counts as **wrong**: what MagNet reports for clean images;
# 2. a rejected image counts as **right**: what it reports for attacked ones.


# %% task="accuracies" part="solution"
def two_accuracies(rejected, answers, labels):
    """Return (rejected counts as wrong, rejected counts as right) for rejected (N, D), answers (N,), labels (N,)."""
    ### BEGIN SOLUTION
    gone, right = rejected.any(dim=1), answers == labels
    return (right & ~gone).double().mean().item(), (right | gone).double().mean().item()
    ### END SOLUTION


# %%
from magnet_helpers.checks import check_two_accuracies

check_two_accuracies(two_accuracies)

# %% task="accuracies" part="tests"
# More tests run here when your work is graded.
### BEGIN HIDDEN TESTS
import torch

torch.manual_seed(803)
for n, detectors in ((1, 1), (2, 2), (50, 4), (333, 1)):
    for chance in (0.0, 0.2, 1.0):
        seen = torch.rand(n, detectors) < chance
        theirs = torch.randint(0, 10, (n,))
        said = torch.where(torch.rand(n) < 0.5, theirs, (theirs + 3) % 10)
        strict = lenient = 0
        for row, answer, label in zip(seen.tolist(), said.tolist(), theirs.tolist(), strict=True):
            strict += answer == label and True not in row
            lenient += answer == label or True in row
        as_wrong, as_right = (float(share) for share in two_accuracies(seen.clone(), said.clone(), theirs.clone()))
        assert abs(as_wrong - strict / n) < 1e-5, (
            f"{n} images, {detectors} detectors, rejected counts as wrong: expected {strict / n:.4f}, got {as_wrong:.4f}"
        )
        assert abs(as_right - lenient / n) < 1e-5, (
            f"{n} images, {detectors} detectors, rejected counts as right: expected {lenient / n:.4f}, got {as_right:.4f}"
        )
### END HIDDEN TESTS

# %% [markdown] part="B"
# # Part B · Look and explain
#
# This part is read by a person. Its cells are not run again when your work is graded: hand in the notebook with the outputs that you
# write about. Below, `lab` trains or loads the networks of lesson 08.

# %% [markdown] task="explain" points=3 minutes=20 difficulty="medium"
# ## Explain what you see
#
# Run the two cells below. The attacker knows the classifier and the labels, and nothing of the defence. An
# image that is misread without any attack is left as it is. Each row of the table is a part of MagNet; the last two
# rows are the two accuracies of the whole.
#
# 1. Detectors or reformer: which of the two stops FGSM with ε = 0.3, which stops DDN? Why?
# 2. Two detectors score by reconstruction, two by divergence. Where do they differ most? Why can a divergence miss an image that anybody would call strange?
# 3. A defence that rejects *everything* would have 100 in one of the last two rows, for every attack. Which number of this table shows its price?
#
# Answer in five to ten sentences, with numbers from the output.

# %%
from magnet_helpers import FGSM, MAGNETS_OWN
from magnet_helpers.study.grid import MAGNET
from magnet_helpers.attacks import DDN

lab.train(MAGNETS_OWN)
magnet, classifier = lab.magnet(MAGNET), lab.classifier()
test = lab.test.spread(min(lab.budget.attacked_images, len(lab.test)))
attacks = {
    "FGSM, ε = 0.05": FGSM(0.05, "given"),
    "FGSM, ε = 0.3": FGSM(0.3, "given"),
    "DDN": DDN(lab.budget.attack_steps),
}
kinds = {"clean": test.images}
kinds |= {name: attack.run(classifier, test.images, test.labels).adversarial for name, attack in attacks.items()}

# %%
import pandas as pd
from magnet_helpers import Accuracy

columns = {}
for kind, images in kinds.items():
    rejections, outcome = magnet.rejections(images), magnet.judge(images, test.labels)
    rows = {f"rejected by {name}": column.sum() for name, column in zip(magnet.names, rejections.T, strict=True)}
    rows |= {
        "rejected by any": outcome.rejected.sum(),
        "read rightly behind the reformer": (outcome.answers == test.labels).sum(),
    }
    columns[kind] = {row: str(Accuracy(int(count), len(test))) for row, count in rows.items()}
    columns[kind]["MagNet, rejected counts as wrong"] = str(outcome.rejected_counts_as_wrong)
    columns[kind]["MagNet, rejected counts as right"] = str(outcome.rejected_counts_as_right)
pd.DataFrame(columns).style.set_caption(f"% of the images, with 95 % interval · {lab.note_for(len(test))}")

# %% [markdown] task="explain" part="answer"
# (Measured once: MNIST, `fast` budget, seed 0, n = 500, on one processor. Others round differently, so a student's numbers differ by some points; judge the argument, with the student's own output.)
#
# At ε = 0.3 the two reconstruction errors reject 98.8 % of FGSM's images, while the reformer alone lets only 26.6 % be read rightly: the image is far from every digit, so it
# cannot be copied, and the reformer moves it to a wrong place. DDN is the opposite: the best detector sees 39.6 % of its images, but behind the reformer 96.6 % are read rightly, because a small change is smoothed away. The largest
# gap between the kinds of detectors is at ε = 0.3: 98.8 % against 3 to 4 %. A divergence compares the classifier's answers to x and to AE(x). FGSM fools the classifier on x and mostly on AE(x) too: both answers are wrong, and the small
# divergence says that they are wrong alike. How strange x looks does not enter at all. (At ε = 0.05 the reason is another one: behind the same autoencoder 96.4 % are read rightly.) A defence that rejects everything has 100 where rejected counts as right. It shows in the clean column,
# where rejected counts as wrong: 0 instead of 96.8 %. With n = 500 the intervals reach 2 to 4 points to each side, far less than these gaps.

# %% [markdown] task="explain" part="rubric"
# - 1 point: detectors for what is far from clean, the reformer for what is near, each with a number from the table.
# - 1 point: a divergence compares two answers of the classifier; it is small where the classifier is fooled by the image and by its reconstruction alike.
# - 1 point: the clean column, rejected counts as wrong (it would be 0); or: a share of rejected clean images of 100 %.

# %% [markdown] task="investigate" points=5 minutes=45 difficulty="open"
# ## Investigate
#
# *What would you pay?* A false-positive rate is a price: honest users who get no answer. Choose an attack and show what each price buys. Or ask a question of your own
# about detectors: another autoencoder as detector, another temperature, fewer validation images.
#
# Say what you expect and why, before you measure. Take at least four rates, or four values of what you vary. Choose each threshold on validation images and count on test images. Draw one figure with labelled axes and
# intervals: what honest users lose on one axis, what the attacker loses on the other. Say which rate you would choose, and for whom.
# Name n, budget, dataset and seeds, and one limit of what you measured.
#
# A whole MagNet is one call: `MagNet.calibrated(classifier, reformer, lab.detectors(DETECTORS), lab.data.validation.images, false_positive_rate=0.01)`; `judge(images, labels)` says
# what becomes of images. The classifier is `lab.classifier()`, a reformer `lab.reformer(MAGNETS_OWN[0])`; `MagNet` and `MAGNETS_OWN` come from `magnet_helpers`, `DETECTORS` from `magnet_helpers.study.grid`.

# %%
# Your code: as many cells as you like, below this one.

# %% [markdown] task="investigate" part="answer"
# (A sketch of a good report: what it says of results is expected, not measured.)
#
# Expectation: DDN's images lie near the clean ones, so a larger rate catches more of them, at first many for each honest user lost and then fewer. FGSM with ε = 0.3 is far away: the smallest rate
# already catches all, and a larger one only costs. To be measured at 0.001, 0.003, 0.01, 0.03 and 0.1 for each of four detectors, thresholds from 5,000 validation images, counted on 500 test images: clean images rejected
# (together up to four times the rate), DDN's images rejected, and DDN's images not fooled by the whole, each with its 95 % interval. The reformer repairs most of what is not rejected, so the last curve hardly
# rises: a larger rate buys almost nothing there. Choice: the smallest rate that can be known from 5,000 images. Limits: one seed, one attack that does not know the detectors; lesson 09's attacker passes them.

# %% [markdown] task="investigate" part="rubric"
# - 1 point: a question that the measurement can answer, and an expectation with a reason, written before.
# - 1 point: thresholds from validation images, counts from test images; attack, n, budget and seed named.
# - 1 point: one figure, axes labelled, intervals drawn, at least four rates (or four values of what is varied).
# - 1 point: both sides stand together: what honest users lose and what the attacker loses; the conclusion says no more than the intervals allow.
# - 1 point: names a limit (for example the attacker does not know the detectors; one seed; the rate itself is only known to its interval).
