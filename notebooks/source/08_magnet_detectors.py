# %% [markdown]
# # 08 · The whole MagNet: detectors
#
# {{badges}}
#
# The paper that this course follows keeps one half of MagNet: the reformer. The other half looks at an image first and may refuse to answer.
#
# **You will learn** to score how strange an image is, to choose a threshold with a known price, to read a ROC curve, and to count a defence
# that sometimes says "no".
#
# **You need** lessons 00 to 03 and 06.
#
# {{minutes}}

# %%
# {{install}}
from magnet_helpers import start_lesson

lab = start_lesson("08_magnet_detectors")

# %% [markdown]
# ## Why detect?
#
# A reformer moves an image towards the images that it was trained on. That helps if the image is *near* them. If it is far away, it may be moved to
# the wrong place, and the classifier answers with confidence. MagNet (Meng and Chen 2017) therefore has two parts:
#
# 1. **Detectors** reject what is far from clean images.
# 2. The **reformer** repairs what is near.
#
# MagNet brings two tiny autoencoders of its own for MNIST: three filters per layer, sigmoids everywhere. Both are trained as denoisers, with noise 0.1.

# %%
from magnet_helpers import MAGNETS_OWN

lab.train(MAGNETS_OWN)
first, second = (lab.reformer(defense) for defense in MAGNETS_OWN)
print(first)
print(
    "weights:",
    sum(weight.numel() for weight in first.parameters()),
    sum(weight.numel() for weight in second.parameters()),
)

# %% [markdown]
# ## A score, by hand
#
# An autoencoder copies what it has learned to copy. So the **reconstruction error** is small for clean images and should be large for others: the
# mean over the pixels of |x − AE(x)|ᵖ, with p = 1 or 2. By hand, for one image:

# %%
import torch
from magnet_helpers import PAPER_ATTACK, ReconstructionDetector, apply_model

classifier = lab.classifier()
detector = ReconstructionDetector(second, p=1)
image = lab.examples.images[:1].to(lab.device)
with torch.no_grad():
    by_hand = (image - second(image)).abs().mean()
    by_helper = detector(image)[0]
attacked = PAPER_ATTACK.perturb(classifier, lab.examples.images[:1])
print(f"clean {by_hand:.4f}, after FGSM with ε = 0.3: {apply_model(detector, attacked)[0]:.4f}")
assert torch.allclose(by_hand, by_helper)

# %% [markdown]
# ## Two answers that should agree
#
# The second kind of detector asks the classifier twice: about x, and about AE(x). For a clean image the answers agree. The difference between two lists of probabilities r and
# s is measured by the **Jensen–Shannon divergence**: half of KL(r‖m) plus half of KL(s‖m), where m is the mean of both and KL(r‖m) = Σ rᵢ log(rᵢ / mᵢ). The probabilities
# are softened first, softmax(logits / T), with a **temperature** T of 10 or 40. Without it one probability is almost 1 for nearly every image, and small changes do not show. By hand, in float64:

# %%
from magnet_helpers import DivergenceDetector

divergence = DivergenceDetector(first, classifier, temperature=10)
with torch.no_grad():
    r, s = (torch.softmax(classifier(each).cpu().double() / 10, dim=1)[0] for each in (image, first(image)))
    m = (r + s) / 2
    by_hand = ((r * (r / m).log()).sum() + (s * (s / m).log()).sum()) / 2
    by_helper = divergence(image)[0]
print(f"clean {by_hand:.2e} nats; the largest possible value is ln 2 = {torch.tensor(2.0).log():.3f}")
assert torch.allclose(by_hand.float(), by_helper.cpu(), rtol=0.01, atol=1e-7)

# %% [markdown]
# ## What the scores look like
#
# Four detectors, on clean images and on three kinds of adversarial ones. All are made on the classifier alone, by an attacker who does not know that there are detectors.
#
# FGSM makes about half of the black pixels grey, and no digit looks like that. **Expect** it to stand out, even for a small ε. DDN (Rony et al. 2019) looks for the *smallest* change in
# the Euclidean norm that fools the classifier. It leaves most black pixels nearly black. **Ask**: who sees that?

# %%
from magnet_helpers import FGSM
from magnet_helpers.study.grid import DETECTORS
from magnet_helpers.attacks import DDN

test = lab.test.spread(min(lab.budget.attacked_images, len(lab.test)))
detectors = lab.detectors(DETECTORS)
kinds = {"clean": test.images}
kinds |= {f"FGSM, ε = {epsilon}": FGSM(epsilon).perturb(classifier, test.images) for epsilon in (0.05, 0.3)}
kinds["DDN"] = DDN(lab.budget.attack_steps).run(classifier, test.images, test.labels).adversarial
scores = {name: {each.label: apply_model(each, images) for each in detectors} for name, images in kinds.items()}

# %%
from magnet_helpers import plot_scores, show_figure

show_figure(
    plot_scores(scores, lab.note_for(len(test))),
    "scores",
    "Histograms of four detectors' scores for clean images, for FGSM with two sizes, and for DDN: FGSM with ε = 0.3 lies far from clean for both reconstruction errors, with ε = 0.05 for that of MagNet's AE 2 alone; DDN overlaps with clean everywhere.",
)

# %% [markdown]
# ## A threshold and its price
#
# Reject what scores above a threshold. A low threshold rejects many adversarial images, and clean ones too. So choose it by the price: the share of **clean**
# images that are rejected, the **false-positive rate**. It is a quantile of the scores of clean *validation* images; test images are for the end.
# Here it is 0.01. By hand: sort the scores, and let through all but the largest ⌊rate · n⌋.

# %%
from magnet_helpers import choose_threshold

validation = lab.data.validation.images
clean_scores = apply_model(detector, validation)
rate = 0.01
allowed = int(rate * len(clean_scores))
by_hand = clean_scores.sort(descending=True).values[allowed].item()
threshold = choose_threshold(clean_scores, rate)
print(
    f"threshold {threshold.value:.4f} rejects {threshold.rejected} of {threshold.total} clean images: {threshold.achieved} %"
)
assert threshold.value == by_hand

# %% [markdown]
# Look at the interval. MagNet takes a rate of 0.001 for each detector: 5 of 5,000 images. The true rate may then be anything from 0.04 % to 0.23 %.
# With fewer images it is worse, and the helper says so.

# %%
import warnings

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    few = choose_threshold(clean_scores[:100], 0.001)
print(few.achieved, "%:", caught[0].message)

# %% [markdown]
# ## All thresholds at once
#
# A **ROC curve** shows for every threshold which share of adversarial images is rejected, and which share of clean ones. The area under it (AUC) is the
# chance that a random adversarial image scores above a random clean one: 0.5 is guessing, 1 is perfect. **Expect** about 1 for FGSM and reconstruction errors. **Ask** why the divergences do
# worse there. (If AE(x) is still fooled, both answers agree.) The horizontal axis is logarithmic, because only small prices matter: guessing looks like a curve.

# %%
from magnet_helpers import plot_rocs, roc

curves = {each.label: roc(scores["clean"][each.label], scores["DDN"][each.label]) for each in detectors}
for name, curve in curves.items():
    large = roc(scores["clean"][name], scores["FGSM, ε = 0.3"][name])
    print(f"{name:<36} AUC for DDN: {curve}, for FGSM with ε = 0.3: {large}")
show_figure(
    plot_rocs(curves, f"DDN · {lab.note_for(len(test))}"),
    "roc",
    "ROC curves of four detectors for the smallest change: share of adversarial images rejected over share of clean images rejected.",
)

# %% [markdown]
# ## The whole defence
#
# `MagNet` puts the parts together: any detector may reject; what is left is reformed and classified. Three things can happen to an image: it is
# **rejected**, **accepted and right**, or **accepted and wrong**. Only the last one is the attacker's success. Each of the four detectors may reject 0.1 % of the clean validation images, so all
# together up to 0.4 % of them. Of the test images it may be somewhat more.

# %%
import pandas as pd
from magnet_helpers import MagNet

magnet = MagNet.calibrated(classifier, first, detectors, validation, false_positive_rate=0.001)
outcomes = {name: magnet.judge(images, test.labels) for name, images in kinds.items()}
pd.DataFrame({name: outcome.counts for name, outcome in outcomes.items()}).style.set_caption(
    f"MagNet, counts of images · {lab.note_for(len(test))}"
)

# %% [markdown]
# ### Two "accuracies"
#
# The literature writes one word for two numbers. On clean images MagNet's accuracy counts a rejected image as **wrong**: an honest user got no
# answer. On adversarial images it counts a rejected image as **right**: the attacker got nothing. Both are fair, if you say which.

# %%
for name, outcome in outcomes.items():
    print(
        f"{name:<16} rejected counts as wrong: {outcome.rejected_counts_as_wrong} %, as right: {outcome.rejected_counts_as_right} %"
    )

# %% [markdown]
# ## Each part alone
#
# **Expect** the detectors to carry what is far from clean, and the reformer what is near.

# %%
parts = {
    "classifier alone": MagNet(classifier, None, {}),
    "reformer alone": MagNet(classifier, first, {}),
    "detectors alone": MagNet.calibrated(classifier, None, detectors, validation, false_positive_rate=0.001),
    "both": magnet,
}
rows = {
    name: {kind: str(part.judge(images, test.labels).rejected_counts_as_right) for kind, images in kinds.items()}
    for name, part in parts.items()
}
pd.DataFrame(rows).T.style.set_caption(f"not fooled, %: rejected or right · {lab.note_for(len(test))}")

# %% [markdown]
# **Verdict** (MNIST, fast budget): the detectors reject FGSM's images and let many of DDN's pass. The reformer alone does the opposite: it repairs nearly all of
# DDN's and fails at ε = 0.3. Against these images, which were made without any thought of the defence, each covers the other's blind side.

# %% [markdown]
# ## Set the threshold yourself
#
# A panel with one detector and one reformer. Choose ε, and the *price*: the share of clean validation images that you are willing to reject. It sets
# the threshold. Under the clean and the attacked images stand the detector's scores, and whether each one is rejected (with a frame) or has
# passed. In the last row stands what the user gets: a right answer ✓, a wrong one ✗, or, crossed out, none. (A web page shows the first picture alone.)
#
# 1. Move ε from 0 to 0.3, with each detector. **Expect** right answers at first, and then, with the reconstruction error, rejections. **Ask**: what does the divergence do
#    with a large ε, and why? (What is AE(x) taken for?)
# 2. With the divergence and ε = 0.2, pay more. **Expect** fewer wrong answers, and some right ones lost with them. Look at the clean row as well.
# 3. Take the reformer away. Where does it make a difference?

# %%
from magnet_helpers import NO_REFORMER
from magnet_helpers.panels import detector_panel

detector_panel(lab, detectors=DETECTORS[1:3], reformers=[NO_REFORMER, MAGNETS_OWN[0]])

# %% [markdown]
# Without a panel (also from `magnet_helpers.panels`): `explore_detector(lab, epsilon=0.03, false_positive_rate=0.01, detector=DETECTORS[1])`.

# %% [markdown]
# ## The strangest images
#
# The eight clean images with the largest score of one detector, and what the attacks make of eight others. **Ask**: which of them would you have rejected?

# %%
from magnet_helpers import plot_image_grid

name = detectors[1].label
print(f"{name}: rejected above {magnet.thresholds[1].value:.3f}")
strangest = scores["clean"][name].argsort(descending=True)[:8]
rows = {
    "clean, strangest": test.images[strangest],
    "FGSM, ε = 0.05": kinds["FGSM, ε = 0.05"][:8],
    "DDN": kinds["DDN"][:8],
}
captions = {"clean, strangest": [f"{score:.3f}" for score in scores["clean"][name][strangest]]}
captions |= {kind: [f"{score:.3f}" for score in scores[kind][name][:8]] for kind in list(rows)[1:]}
show_figure(
    plot_image_grid(rows, lab.note_for(len(test)), captions=captions),
    "strangest",
    "Upper row: the clean test images with the largest reconstruction error. Below: images after FGSM with ε = 0.05 and after DDN. Each with its score.",
)

# %% [markdown]
# ## Any autoencoder can be a detector
#
# The autoencoders of the earlier lessons reconstruct too. **Ask**, before you look: which one is the better detector, the one that copies best, or the one that cleans best?

# %%
from magnet_helpers import VANILLA, denoising

rows = {}
for defense in (*MAGNETS_OWN, VANILLA, denoising(0.1), denoising(0.4)):
    each = ReconstructionDetector(lab.reformer(defense), p=1)
    clean = apply_model(each, test.images)
    rows[defense.label] = {"mean clean score": f"{clean.mean():.4f}"} | {
        kind: str(roc(clean, apply_model(each, images))) for kind, images in kinds.items() if kind != "clean"
    }
pd.DataFrame(rows).T.style.set_caption(f"AUC of reconstruction, p = 1 · {lab.note_for(len(test))}")

# %% [markdown]
# **Verdict** (MNIST, fast budget): the better copiers are the better detectors. (Two that copy about equally well may change places.) They copy every digit, so what they cannot copy is no digit. Lesson 02 found that a good copy is
# a poor reformer. A detector wants what a reformer must not be.

# %% [markdown]
# ## Diversity: one of several, at random
#
# MagNet's last idea: keep several reformers and pick one at random for each image. An attacker who knows them all does not know which one his image will meet (MagNet's
# authors call that "grey box"; here the word means something else). Is an image that was made against one reformer harmless to another? Attack each with PGD (many small FGSM steps; exercise 2 of lesson 06) on true
# labels, try on each. The diagonal is the white box.

# %%
from magnet_helpers import PGD, LabeledImages, ReformedClassifier, evaluate_accuracy

crowd = {
    defense.label: ReformedClassifier(lab.reformer(defense), classifier)
    for defense in (VANILLA, denoising(0.1), denoising(0.4))
}
some = test.spread(min(lab.budget.curve_images, len(test)))
attack = PGD(0.2, "given", steps=lab.budget.attack_steps, step_size=0.01)
made = {name: attack.perturb(network, some.images, some.labels) for name, network in crowd.items()}
matrix = {
    f"made on {name}": {
        other: f"{100 * evaluate_accuracy(network, LabeledImages(images, some.labels)).value:.1f}"
        for other, network in crowd.items()
    }
    for name, images in made.items()
}
pd.DataFrame(matrix).T.style.set_caption(f"accuracy in %, {attack} · {lab.note_for(len(some))}")

# %% [markdown]
# MagNet reports 0 % on the diagonal and more than 90 % off it, with eight autoencoders that were trained to differ, and another attack. Where yours fall below that
# off the diagonal, images **transfer**: what fools one reformer fools its neighbour. And an attacker who knows that one of several will be picked can attack all of them together
# (`magnet_helpers.attacks.Ensemble`; `ExpectationOverTransformation` takes the mean over random picks).

# %% [markdown]
# ## Checks

# %%
counts = [sum(outcome.counts.values()) for outcome in outcomes.values()]
assert counts == [len(test)] * len(kinds), "rejected, right and wrong add up"
assert all(
    int((apply_model(each, validation) > threshold.value).sum()) == threshold.rejected
    for each, threshold in zip(magnet.detectors, magnet.thresholds, strict=True)
)
assert torch.equal(
    magnet.judge(test.images, test.labels).answers, parts["reformer alone"].judge(test.images, test.labels).answers
)

# %% [markdown]
# ## Try it
#
# 1. Above, the divergence was computed by hand for one image. Its lines give nan where a probability is 0, because 0 · log 0 is not a number for a computer. Write
#    `my_jensen_shannon` in the cell below, for N images at once, and also for zeros. Run the cell: it says what is off.
# 2. Set the false-positive rate to 0.01 and to 0.05. Which column of the outcome table changes most?
# 3. Which detector alone would you keep against FGSM, and which against DDN?
# 4. A rejected image counts as right under attack. Which useless defence would then be perfect?
# 5. Use `denoising(0.4)` as MagNet's reformer. Does the clean accuracy change? Why?
#
# <details><summary>Hint</summary>
#
# As p goes to 0, so does p · log p: a probability of 0 adds 0. `torch.xlogy(a, b)` is a · log b, and 0 where a is 0. The mean m is 0 only where both are.
#
# </details>
#
# <details><summary>Answers</summary>
#
# 1. One way:
#
#    ```python
#    def my_jensen_shannon(r, s):
#        m = (r + s) / 2
#        from_r = torch.xlogy(r, r) - torch.xlogy(r, m)
#        from_s = torch.xlogy(s, s) - torch.xlogy(s, m)
#        return (from_r + from_s).sum(dim=1) / 2
#    ```
#
# 2. DDN's: its images lie nearest to the thresholds. The price is paid in the clean column.
# 3. Compare the shares rejected at a price you would pay, not the areas: those mix in prices that nobody would pay.
# 4. One that rejects everything. So both accuracies belong in every table.
# 5. Measure it. Network, noise and training all differ, so the noise alone is not the reason.
#
# </details>

# %%
from magnet_helpers.checks import check_jensen_shannon


def my_jensen_shannon(r, s):  # probabilities of N images, each (N, 10), in float64
    ...  # your lines; return one divergence for each image, (N,), in nats


check_jensen_shannon(my_jensen_shannon)

# %% [markdown]
# ## Summary
#
# - A detector is a score and a threshold. The threshold has a price, and the price has an interval.
# - Against the attacks tried here, which do not know it, MagNet detects what is far from clean and reforms what is near. An attacker may look between the two, and one who knows the defence will (Carlini and Wagner 2017; lesson 09).
# - A defence that may refuse needs two numbers: refused counts as wrong, refused counts as right.
#
# **References.** N. Carlini and D. Wagner, *MagNet and "Efficient Defenses Against Adversarial Attacks" are Not Robust to Adversarial Examples*, 2017 · J. Rony et al., *Decoupling Direction and
# Norm for Efficient Gradient-Based L2 Adversarial Attacks and Defenses*, 2019 · A. Madry et al., *Towards Deep Learning Models Resistant to Adversarial Attacks*, 2018 · D. Meng and H. Chen, *MagNet: a Two-Pronged Defense against Adversarial Examples*, 2017 · J. Lin, *Divergence Measures Based on the Shannon Entropy*, 1991 · E. B. Wilson,
# *Probable Inference, the Law of Succession, and Statistical Inference*, 1927.
