# %% [markdown]
# # 01 · The classifier
#
# {{badges}}
#
# Before we defend a network we must know it: what it sees, what it is made of, how sure we are of its accuracy.
#
# **You will learn** how the data are split, how the paper's classifier is built and trained, how to put an interval on an
# accuracy, and how the classifier fails under attack.
#
# **You need** lesson 00.
#
# {{minutes}}

# %%
# {{install}}
from magnet_helpers import start_lesson

lab = start_lesson("01_classifier")

# %% [markdown]
# ## The data
#
# The images come in three parts. The network learns from the *training* images. The *validation* images tell us during
# training how it does on images it has not seen. The *test* images are for the numbers that we report.
# Who chooses anything by them gets numbers that flatter the choice. The paper's
# [program](https://github.com/wenlongx/CS260) (public, folder `Project/Code`) validated on the test images, so any choice made by the
# validation loss was made on them.

# %%
for name in ("train", "validation", "test"):
    part = getattr(lab.data, name)
    print(f"{name:<11}{len(part):>7,} images, shape {tuple(part.images.shape[1:])}")

# %%
from magnet_helpers import plot_image_grid, show_figure

figure = plot_image_grid({"training": lab.data.train.images[:10], "test": lab.examples.images}, lab.data.title)
show_figure(
    figure, "data", "Two rows of ten handwritten digits: some training images, and one test image of each digit."
)

# %% [markdown]
# ## The network
#
# This is Table 1 of the paper. A convolution slides 32 small filters over the image. Max-pooling keeps the largest of four
# neighbours, so height and width halve. ReLU turns negative numbers into 0. (The table has it before the pooling. The largest of four
# numbers does not change place when the negative ones become 0, so both orders give the same, and this one is faster.) Two dense layers
# turn the 7·7·32 = 1568 numbers into ten *logits*, one for each digit. The largest logit is the answer.

# %% tags=["nbval-check-output"]
from magnet_helpers import ConvClassifier

network = ConvClassifier()
print(network)

# %% [markdown]
# How many numbers does training adjust? A convolution has one number per filter, input channel and pixel of the filter, and
# one bias per filter. Count them by hand, then ask PyTorch.

# %% tags=["nbval-check-output"]
first = 32 * (1 * 5 * 5) + 32
second = 32 * (32 * 5 * 5) + 32
dense = 1568 * 1024 + 1024
last = 1024 * 10 + 10
count = sum(parameter.numel() for parameter in network.parameters())
print(first, second, dense, last, "together", count)
assert first + second + dense + last == count

# %% [markdown]
# ## The loss, by hand
#
# Logits are any numbers. *Softmax* turns them into probabilities p. *Cross entropy* is −log p of the right digit: 0 if the
# network is certain and right, large if it is certain and wrong. Here it is for two images.

# %%
import torch
from magnet_helpers import ClassificationLoss

two, their = lab.examples.images[:2], lab.examples.labels[:2]
with torch.no_grad():
    exponentials = network(two).exp()
    probabilities = exponentials / exponentials.sum(dim=1, keepdim=True)
    by_hand = -probabilities[[0, 1], their].log().mean()
    by_helper = ClassificationLoss()(network, two, their, torch.Generator())
print(
    "an untrained network:",
    round(by_hand.item(), 3),
    "  guessing evenly: log 10 =",
    round(torch.tensor(10.0).log().item(), 3),
)
assert torch.allclose(by_hand, by_helper)

# %% [markdown]
# ## Training
#
# The optimiser is Adam. The paper's program takes steps of size 0.001 and batches of 64 images, for 30 epochs. So does the `paper`
# budget. The `fast` budget takes fewer epochs, and makes up for some of it with larger steps that become smaller towards the end. An
# epoch is one pass over the training images.
#
# **Expect** that the training loss falls fast. The validation loss is low after the first epoch already; with large steps it may rise for an epoch before it
# ends lower. With many epochs, the training loss goes on falling when the validation loss has stopped.
# In the first epoch the training loss may lie far *above* the other: it is averaged while the network learns, the validation loss is
# measured at the epoch's end.

# %%
from magnet_helpers import NO_REFORMER, plot_history

classifier = lab.classifier()
history = lab.history(NO_REFORMER)
figure = plot_history({"classifier": history}, lab.setting, loss_name="cross entropy (nats)")
show_figure(figure, "training", "Training and validation loss of the classifier over the epochs.")

# %% [markdown]
# ## How sure is an accuracy?
#
# Say k of n test images are read correctly. Another n images would give another k. The *Wilson interval* says which true
# accuracies are compatible with what we saw. By hand, with z = 1.96 for 95 %:
#
# $$\frac{1}{1+z^2/n}\left(\frac kn+\frac{z^2}{2n}\pm z\sqrt{\frac{k(n-k)}{n^3}+\frac{z^2}{4n^2}}\right)$$

# %%
from math import sqrt

from magnet_helpers import evaluate_accuracy

accuracy = evaluate_accuracy(classifier, lab.test)
k, n, z = accuracy.correct, accuracy.total, 1.959964
middle, reach = k / n + z**2 / (2 * n), z * sqrt(k * (n - k) / n**3 + z**2 / (4 * n**2))
by_hand = ((middle - reach) / (1 + z**2 / n), (middle + reach) / (1 + z**2 / n))
print(f"{k} of {n}: {accuracy} %")
assert all(abs(ours - theirs) < 1e-6 for ours, theirs in zip(by_hand, accuracy.interval, strict=True))

# %% [markdown]
# The interval covers the luck of the test images. It does not cover the luck of the training: another seed gives another
# network. Both matter, and the second one is often larger.

# %% [markdown]
# ## Where it fails
#
# **Expect** a bright diagonal on clean images. Under FGSM, look for columns: answers that the network prefers when it is fooled.

# %%
from magnet_helpers import plot_confusion, predict

clean, attacked = predict(classifier, lab.test.images), predict(classifier, lab.attacked())
figure = plot_confusion({"clean": clean, "under FGSM 0.3": attacked}, lab.test.labels, lab.note)
show_figure(
    figure,
    "confusion",
    "Two confusion matrices, true digit against answer, in percent of each digit: clean images have a bright diagonal, "
    "attacked images are spread over wrong answers.",
)

# %%
from magnet_helpers import LabeledImages
from magnet_helpers.study.published import paper_number
from magnet_helpers.study.threats import CLEAN, WHITE_BOX

ours = evaluate_accuracy(classifier, LabeledImages(lab.attacked(), lab.test.labels))
print("clean:      ", accuracy, "  paper:", paper_number(NO_REFORMER, CLEAN).percent)
print("under FGSM: ", ours, "  paper:", paper_number(NO_REFORMER, WHITE_BOX).percent)
print(lab.note)

# %% [markdown]
# Do not read much into the second line. Published values for an undefended network under this very attack run from 1 % to
# 70 %. The network's training, and the way the loss is computed, decide. Lesson 06 shows one reason.

# %% [markdown]
# ## Checks

# %%
assert accuracy.total == len(lab.test)
assert accuracy.interval[0] <= accuracy.value <= accuracy.interval[1]
assert not set(map(bytes, lab.test.images[:50].numpy())) & set(map(bytes, lab.data.train.images[:2000].numpy()))

# %% [markdown]
# ## Try it
#
# 1. Write the Wilson interval as a function in the cell below, from the formula above. Run the cell: it says what is off. Then let it answer a
#    question that the simple formula p ± z·√(p(1−p)/n) cannot: 20 of 20 answers are right. What is the interval?
# 2. How wide is the interval for 95 correct answers out of 100? For 9,500 out of 10,000? Use `Accuracy(95, 100).interval`.
# 3. Which two digits does the classifier confuse most often on clean images? Show some of them.
# 4. Train with `TrainingConfig(epochs=1, seed=1)` and another seed. How far apart are the two accuracies?
# 5. Why does the training loss go on falling after the validation loss has stopped?
#
# <details><summary>Hint</summary>
#
# For 1: the lines of the lesson compute `middle` and `reach` for one accuracy. Which names change when `k` and `n` are arguments? Both ends are
# divided by the same number.
#
# </details>
#
# <details><summary>Answers</summary>
#
# 1. `middle, reach = k / n + z**2 / (2 * n), z * sqrt(k * (n - k) / n**3 + z**2 / (4 * n**2))` with `z = 1.959964`, then
#    `return (middle - reach) / (1 + z**2 / n), (middle + reach) / (1 + z**2 / n)`. For 20 of 20 it is [0.839, 1]. The simple one gives
#    [1, 1], as if twenty images had settled it.
# 2. About [88.8, 97.8] and [94.6, 95.4] percent: a hundred times more images, ten times narrower.
# 3. The confusion matrix above shows it; 4 and 9 are a usual pair. Find them with `(clean != lab.test.labels).nonzero()`.
# 4. `fit(ConvClassifier(), ClassificationLoss(), lab.data.train, lab.data.validation, TrainingConfig(epochs=1, seed=1))` trains one.
#    If the difference is larger than the interval of either, the interval did not know about the luck of training.
# 5. The network begins to remember single training images. That helps on those images only.
#
# </details>

# %%
from magnet_helpers.checks import check_wilson_interval


def my_wilson_interval(k, n):
    """Return the two ends of the 95 % interval, as shares, for k right answers out of n."""
    ...  # your lines


check_wilson_interval(my_wilson_interval)

# %% [markdown]
# ## Summary
#
# - The classifier is small, trains in minutes and is nearly always right on clean images.
# - An accuracy is a count. Report n and an interval.
# - One FGSM step is enough to ruin it.
#
# **Next:** `02_vanilla_autoencoder` builds the first reformer.
#
# **References.** Y. LeCun et al., *Gradient-Based Learning Applied to Document Recognition*, 1998 · E. B. Wilson, *Probable
# Inference, the Law of Succession, and Statistical Inference*, 1927 · D. Kingma, J. Ba, *Adam*, ICLR 2015.
