# %% [markdown]
# # 00 · Start here
#
# {{badges}}
#
# A neural network reads handwritten digits almost perfectly. Change each pixel a little, in the right direction, and it
# reads nearly all of them wrongly. This course is about one defence: an autoencoder that cleans the image before the
# network sees it. It follows the paper *Improving MagNet with Different Autoencoder Architectures* (Xiong, 2019), repeats
# its experiments, and asks what they prove.
#
# **You will learn** what an adversarial image is, who the attacker is (grey box, white box), and how MagNet's reformer is
# meant to work.
#
# **You need** Python and a little PyTorch. Nothing from other lessons.
#
# {{minutes}}

# %% [markdown]
# ## Set-up
#
# Every lesson begins with this cell. Where the course is not installed, it installs it (pip's note about a restart can be ignored). Its last line says what the numbers below will be made with. The *budget* decides how long networks
# train, with which steps, and on how many images they are trained and tested. Only the budget called `paper` spends what the paper spent, so only its numbers may be compared with the
# paper's. To change a setting, set `MAGNET_BUDGET`, `MAGNET_DATASET` or `MAGNET_SEED` before Jupyter starts, or in a new cell above this one: `%env MAGNET_BUDGET=smoke`.

# %%
# {{install}}
from magnet_helpers import start_lesson

lab = start_lesson("00_start_here")

# %% [markdown]
# ## Ten digits and a classifier
#
# `lab.examples` holds one test image of each digit. An image is a tensor of shape (1, 28, 28): one channel, 28 rows, 28
# columns. Black is 0, white is 1.

# %% tags=["nbval-check-output"]
images, labels = lab.examples.images, lab.examples.labels
print(tuple(images.shape), labels.tolist())

# %% [markdown]
# The classifier is the paper's: two convolutions and two dense layers. Lesson 01 looks inside. Its training is the longest of all and
# keeps one processor core busy. So `lab.train` lets the other cores train reformers that lessons 00 to 04 need. What is trained is
# kept: `lab.classifier()` only loads it.

# %%
from magnet_helpers import VANILLA, denoising, evaluate_accuracy, predict, stacked
from magnet_helpers.study.grid import NOISE_LEVELS

lab.train([VANILLA, *(denoising(noise_std) for noise_std in NOISE_LEVELS), stacked(3, 0.4)])
classifier = lab.classifier()
print("answers:", predict(classifier, images).tolist())
print("accuracy in % [95 % interval]:", evaluate_accuracy(classifier, lab.test))

# %% [markdown]
# ## An adversarial image
#
# *FGSM*, the fast gradient sign method, asks for each pixel: does the loss grow if this pixel gets brighter, or if it gets
# darker? Then it moves every pixel by the same small step ε in the bad direction. Lesson 06 does this by hand.
#
# **Expect** a grey pattern that a human reads through, and a classifier that does not.

# %%
from magnet_helpers import PAPER_ATTACK, plot_image_grid, show_figure

adversarial = PAPER_ATTACK.perturb(classifier, images)
answers = [f"→ {answer}" for answer in predict(classifier, images).tolist()]
fooled = [f"→ {answer}" for answer in predict(classifier, adversarial).tolist()]
grid = {"clean": images, "change": adversarial - images, "attacked": adversarial}
figure = plot_image_grid(grid, lab.setting, captions={"clean": answers, "attacked": fooled})
show_figure(
    figure,
    "adversarial_images",
    "Three rows of ten digits: clean, the change made by FGSM (blue darker, red brighter), and the sum of both. The "
    "classifier's answer stands under each clean and each attacked digit.",
)

# %% [markdown]
# The second row shows the change: red pixels became brighter, blue ones darker, by at most ε = 0.3. Where a pixel was black
# and should have become darker still, nothing happened: values are clipped to [0, 1].
#
# How bad is it over all test images of this budget?

# %%
from magnet_helpers import LabeledImages

attacked = LabeledImages(lab.attacked(), lab.test.labels)
print("under FGSM:", evaluate_accuracy(classifier, attacked))

# %% [markdown]
# ## MagNet's idea
#
# MagNet (Meng and Chen, 2017) leaves the classifier alone. It puts an autoencoder in front of it. The autoencoder was trained
# to give back images of digits. So whatever goes in, something like a digit should come out. This autoencoder is called the
# *reformer*. (MagNet also has detectors, which reject suspicious images. The paper leaves them out, and so do the lessons up
# to 07.)

# %%
from magnet_helpers import plot_workflow

show_figure(
    plot_workflow(),
    "workflow",
    "Boxes from left to right: image, reformer, classifier, answer. A bracket marks what the attacker knows: the classifier "
    "alone in the grey box, reformer and classifier in the white box.",
)

# %% [markdown]
# ### Who is the attacker?
#
# | setting | the attacker knows | the attack is made on | the image then passes |
# |---|---|---|---|
# | no defence | the classifier | the classifier | the classifier |
# | grey box | the classifier, not the reformer | the classifier | reformer, classifier |
# | white box | both | reformer and classifier as one network | reformer, classifier |
#
# The white-box attacker can do everything that the grey-box attacker can. So a defence should never do *better* in the white
# box. Keep this sentence in mind: some of the paper's numbers break it.

# %% [markdown]
# ## The reformer, by hand and by helper
#
# We take a denoising autoencoder (lesson 03). The defended network is the reformer followed by the classifier, nothing more.
# By hand, that is one line. The package calls it `ReformedClassifier`.

# %%
import torch
from magnet_helpers import ReformedClassifier

reformer = lab.reformer(denoising(0.3))
with torch.no_grad():
    by_hand = classifier(reformer(adversarial[:2].to(lab.device)))
    by_helper = ReformedClassifier(reformer, classifier)(adversarial[:2].to(lab.device))
assert torch.equal(by_hand, by_helper)

# %% [markdown]
# **Expect** that the reformer takes most of the grey pattern away, and that some digits come out damaged.

# %%
from magnet_helpers import apply_model

reformed = apply_model(reformer, adversarial)
rescued = [f"→ {answer}" for answer in predict(classifier, reformed).tolist()]
figure = plot_image_grid(
    {"clean": images, "attacked": adversarial, "reformed": reformed},
    lab.setting,
    captions={"clean": answers, "attacked": fooled, "reformed": rescued},
)
show_figure(
    figure,
    "reformed_images",
    "Three rows of ten digits: clean, attacked, and attacked then reformed, with the classifier's answer under each. The "
    "reformer removes most of the grey pattern.",
)

# %% [markdown]
# ## The manifold picture
#
# Why should this work? Images of digits are a thin sheet (a *manifold*) in the space of all images. FGSM pushes an image off
# the sheet. The reformer pulls it back. Papers like to sketch this. We compute it: the sheet is approximated by the
# 50-dimensional subspace that fits clean training images best. The horizontal axis is a position in that subspace, the
# vertical axis is the distance to it.
#
# **Expect** clean digits low, attacked digits high, reformed digits low again, but not always where they started. They may even lie lower
# than the clean ones: the reformer smooths, and a smooth image is easy to fit. The horizontal axis shows only one of the 50 coordinates.

# %%
from magnet_helpers import plot_manifold

sample = lab.test.spread(25).images
sample_attacked = PAPER_ATTACK.perturb(classifier, sample)
figure = plot_manifold(
    lab.data.train.images[:2000], sample, sample_attacked, apply_model(reformer, sample_attacked), lab.note_for(25)
)
show_figure(
    figure,
    "manifold",
    "Scatter plot. Clean digits lie near the subspace of digits, attacked digits above it; solid arrows lead up. Dashed "
    "arrows lead from each attacked digit back down to its reformed version.",
)

# %% [markdown]
# The sideways part of the dashed arrows matters as much as their length. An image that comes back to the sheet at another
# place may be read as another digit.

# %% [markdown]
# ## Does it help?
#
# Three numbers describe a defence: accuracy on clean images, in the grey box, and in the white box. Without a reformer the two boxes are
# the same, hence the dash. Under the table stands what a careful reader would doubt in *our* numbers. (The paper's are not checked there.
# Can you find its row that is better in the white box than in the grey one? Lesson 06 says why that is a reason for doubt.)

# %%
from magnet_helpers import NO_REFORMER
from magnet_helpers.study.reports import show_table

show_table(lab, [NO_REFORMER, denoising(0.3)])

# %% [markdown]
# ## Checks

# %%
assert (adversarial - images).abs().max() <= 0.3 + 1e-6  # no pixel moved by more than ε
assert adversarial.min() >= 0 and adversarial.max() <= 1  # it is still an image
assert reformed.shape == images.shape

# %% [markdown]
# ## Try it
#
# 1. Write in the cell below how far an attack went: for each image, by how much the pixel moved that moved most. Run the cell: it says
#    what is off. What does your function give for `images` and `adversarial`, and why?
# 2. Set `PAPER_ATTACK` aside and use `FGSM(epsilon=0.1)`. Can you still see the change? Is the classifier still fooled?
# 3. Which digits does the reformer damage even when nobody attacks? Show `apply_model(reformer, images)`.
# 4. A friend proposes to add random noise of size 0.3 instead of FGSM. Will the classifier be fooled?
# 5. In which setting should a defence score lower, and why can it never honestly be the other way round?
#
# <details><summary>Hint</summary>
#
# For 1: a pixel may become darker or brighter, so take `.abs()` of the difference. `.flatten(start_dim=1)` turns each image into one row; `.max(dim=1)`
# gives values and places, `.amax(dim=1)` the values alone.
#
# </details>
#
# <details><summary>Answers</summary>
#
# 1. `return (adversarial - images).abs().flatten(start_dim=1).amax(dim=1)`. It gives 0.3 for every image, up to rounding: FGSM moves each pixel by ε, and only
#    pixels that would leave [0, 1] move less.
# 2. A change of 0.1 is hard to see on a screen. The classifier errs less often, but far more often than on clean images.
# 3. Fine parts suffer most: thin strokes break or blur, small holes close.
# 4. Hardly. Random noise moves pixels in directions that cancel each other out. FGSM moves all of them against the classifier.
# 5. In the white box. Its attacker may use any grey-box image as it is, and may do something better.
#
# </details>

# %%
from magnet_helpers.checks import check_largest_change


def my_largest_change(images, adversarial):
    """Return how far the pixel moved that moved most: one number for each image, shape (N,)."""
    ...  # your lines


check_largest_change(my_largest_change)

# %% [markdown]
# ## Summary
#
# - An adversarial image is a clean one plus a small change that is chosen against the network.
# - MagNet's reformer is an autoencoder in front of the classifier. The classifier stays as it is.
# - Grey box: the attacker knows the classifier. White box: the attacker knows the reformer too.
#
# **Next:** `01_classifier` looks at the network that is attacked.
#
# **References.** W. Xiong, *Improving MagNet with Different Autoencoder Architectures*, 2019 · D. Meng, H. Chen, *MagNet: a
# Two-Pronged Defense against Adversarial Examples*, CCS 2017 · I. Goodfellow, J. Shlens, C. Szegedy, *Explaining and
# Harnessing Adversarial Examples*, ICLR 2015.
