# %% [markdown]
# # 06 · Attacks
#
# {{badges}}
#
# So far the attack came from a helper. Now we take it apart, from the attacker's chair: what it uses, what it knows, and when its
# failure means less than it seems.
#
# **You will learn** to write FGSM by hand, what changes between grey and white box, why the label matters, and how to tell a strong
# defence from a weak attack.
#
# **You need** lessons 00 to 04.
#
# {{minutes}}

# %%
# {{install}}
from magnet_helpers import start_lesson

lab = start_lesson("06_attacks")

# %% [markdown]
# ## FGSM, by hand
#
# Let L(x, y) be the classifier's loss. For a small change δ, L(x + δ, y) ≈ L(x, y) + δ·∂L/∂x. If no pixel may move by more than ε, the
# best δ moves *every* pixel by ε, in the direction of the gradient's sign:
#
# $$x' = \mathrm{clip}\big(x + \varepsilon\,\mathrm{sign}\,\tfrac{\partial L(x, y)}{\partial x},\ 0,\ 1\big)$$
#
# Which y? The paper's [program](https://github.com/wenlongx/CS260) takes the classifier's *own answer*, so no true label is needed.

# %%
import torch
from magnet_helpers import FGSM
from torch.nn import functional as F

classifier = lab.classifier()
images, labels = lab.examples.images, lab.examples.labels
two = images[:2].to(lab.device).requires_grad_()
logits = classifier(two)
loss = F.cross_entropy(logits, logits.argmax(dim=1), reduction="sum")
(gradient,) = torch.autograd.grad(loss, two)
by_hand = (two + 0.3 * gradient.sign()).clamp(0, 1).detach().cpu()
by_helper = FGSM(epsilon=0.3).perturb(classifier, images[:2])
assert torch.allclose(by_hand, by_helper)

# %% [markdown]
# **Expect** a gradient that is large on the strokes and around them, and a sign that forgets how large it was.

# %%
from magnet_helpers import plot_image_grid, predict, show_figure

all_ten = images.to(lab.device).requires_grad_()
loss = F.cross_entropy(classifier(all_ten), predict(classifier, images).to(lab.device), reduction="sum")
(gradient,) = torch.autograd.grad(loss, all_ten)
scaled = gradient / gradient.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-30)
adversarial = FGSM(0.3).perturb(classifier, images)
captions = {"x'": [f"→ {answer}" for answer in predict(classifier, adversarial).tolist()]}
grid = {"x": images, "gradient (scaled)": scaled.cpu(), "its sign": gradient.sign().cpu(), "x'": adversarial}
show_figure(
    plot_image_grid(grid, lab.setting, captions=captions),
    "fgsm_steps",
    "Ten digits, the loss gradient of each (strong near the strokes), its sign (strong everywhere), and the attacked image.",
)

# %% [markdown]
# ## Is it the size or the direction?
#
# Random signs change the image as much as FGSM does. **Expect** the classifier to survive most of them.

# %%
from magnet_helpers import Accuracy, LabeledImages, evaluate_accuracy, new_generator

test = lab.test.spread(min(lab.budget.curve_images, len(lab.test)))
signs = torch.randint(0, 2, test.images.shape, generator=new_generator(0, "lesson 06")).mul(2).sub(1)
noisy = LabeledImages((test.images + 0.3 * signs).clamp(0, 1), test.labels)
fgsm = LabeledImages(FGSM(0.3).perturb(classifier, test.images), test.labels)
for name, part in {"clean": test, "random signs": noisy, "FGSM": fgsm}.items():
    print(f"{name:<14}{evaluate_accuracy(classifier, part)} %  (n = {len(part)})")

# %% [markdown]
# ## Predicted labels or true labels?
#
# For an image that the classifier reads wrongly, the two differ. The attack on the predicted label pushes it *away from the wrong answer*,
# and may repair it. So the paper's choice is a slightly weaker attack.

# %%
true_labels = FGSM(0.3, labels="given").perturb(classifier, test.images, test.labels)
answers = {"predicted": predict(classifier, fgsm.images), "given": predict(classifier, true_labels)}
wrong = predict(classifier, test.images) != test.labels
for name, theirs in answers.items():
    right = theirs == test.labels
    print(
        f"{name:<10} labels: {right.sum()} of {len(test)} right; of the {wrong.sum()} misread clean images: {right[wrong].sum()}"
    )

# %% [markdown]
# ## Grey box and white box, by hand
#
# Grey box: the gradient is the classifier's. White box: the gradient goes through the reformer as well. That is the whole
# difference, and it is one word in the code.

# %%
from magnet_helpers import ReformedClassifier, denoising

reformer = lab.reformer(denoising(0.4))
defended = ReformedClassifier(reformer, classifier)
grey = FGSM(0.3).perturb(classifier, test.images)
white = FGSM(0.3).perturb(defended, test.images)
for name, attacked in {"clean": test.images, "grey box": grey, "white box": white}.items():
    print(f"{name:<10}{evaluate_accuracy(defended, LabeledImages(attacked, test.labels))} %  (n = {len(test)})")

# %%
pick = lab.examples.images
rows = {
    "grey box: change": FGSM(0.3).perturb(classifier, pick) - pick,
    "white box: change": FGSM(0.3).perturb(defended, pick) - pick,
}
show_figure(
    plot_image_grid({"clean": pick, **rows}, lab.setting),
    "grey_and_white",
    "Ten clean digits, the change that the grey-box attacker makes and the change that the white-box attacker makes: different patterns.",
)

# %% [markdown]
# ## From ε = 0 to ε = 0.5
#
# One ε is one point. The curve says more. **Expect** every curve to begin at clean accuracy. At ε = 0.5 the attacker could make every
# image grey, so a curve that stays high there is a warning about the *attack*. These points come from few images: let curves cross only where
# their intervals are apart.

# %%
from magnet_helpers import VANILLA, plot_accuracy_curves

epsilons = torch.linspace(0, 0.5, lab.budget.curve_epsilons).tolist()


def curve(network, attacked_network):
    points = []
    for epsilon in epsilons:
        attacked = FGSM(epsilon).perturb(attacked_network, test.images)
        points.append(evaluate_accuracy(network, LabeledImages(attacked, test.labels)))
    return points


# %%
copying = ReformedClassifier(lab.reformer(VANILLA), classifier)
curves = {
    "no reformer": curve(classifier, classifier),
    "vanilla AE, grey box": curve(copying, classifier),
    "vanilla AE, white box": curve(copying, copying),
    "DAE 0.4, grey box": curve(defended, classifier),
    "DAE 0.4, white box": curve(defended, defended),
}
note = lab.note_for(len(test))
show_figure(
    plot_accuracy_curves(epsilons, curves, note, x_name="ε (largest change of a pixel)"),
    "epsilon",
    "Accuracy over ε from 0 to 0.5 for the undefended classifier and for vanilla and denoising reformers in grey and white box.",
)

# %% [markdown]
# ## Be the attacker
#
# A panel: choose ε, what the attacker knows, and the reformer. The rows are clean, attacked and reformed, each with the answer that the
# classifier gives to *that* image: ✓ right, ✗ wrong, with a frame. (A web page shows the first picture alone.)
#
# 1. Begin at ε = 0 and move it up, grey box. **Expect** the middle row to fail first, and the lower one later. From which ε on does
#    the reformer not help any more?
# 2. At ε = 0.3, change to the white box. **Expect** fewer right answers below. And in the middle row, where no reformer is? **Ask**
#    yourself why before you look.
# 3. Choose "no reformer". **Expect** the two attackers to be the same.

# %%
from magnet_helpers import NO_REFORMER
from magnet_helpers.panels import attack_panel

attack_panel(lab, [NO_REFORMER, VANILLA, denoising(0.4)])

# %% [markdown]
# The white-box image is made for reformer and classifier together. Shown to the classifier alone, it may fool it *less* than the grey-box
# image does. So an image is adversarial for one system, not by itself. Without a panel (also from `magnet_helpers.panels`):
# `explore_attack(lab, epsilon=0.3, knowledge=Knowledge.REFORMER, reformer=VANILLA)`.

# %% [markdown]
# ## When a weak attack looks like a strong defence
#
# Two signs, and the package looks for both.
#
# 1. **White box above grey box.** The white-box attacker could have used the grey-box image. If it did worse with more knowledge, one
#    step was too little, or the gradient misled it. The second is called *gradient masking*.
# 2. **Zero gradients.** A very confident network gives all other digits a probability that is exactly 0 in 32-bit numbers, and then the
#    gradient is exactly 0. FGSM does nothing to such an image. The accuracy goes up, the network is no safer.
#
# `suspicions(report)` says what it finds. Nothing found does not mean nothing there. We look at reformers trained
# with little noise or none (in the paper's Table 4 the vanilla autoencoder has its white box 15 points above its grey box) and, for
# comparison, at noise 0.4. The two stacks are trained here, on all cores at once.

# %%
from magnet_helpers import NO_REFORMER, stacked, suspicions

suspects = [NO_REFORMER, VANILLA, denoising(0.1), stacked(2, 0.1), stacked(3, 0.1), denoising(0.4)]
lab.prepare(suspects)
for defense in suspects:
    print(defense.label)
    for doubt in suspicions(lab.report(defense)) or ["nothing found"]:
        print("  -", doubt)

# %% [markdown]
# Here is the second sign, made on purpose: the same classifier with logits a thousand times larger. It gives the *same answers* to every
# clean image.


# %%
class Confident(torch.nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return 1000 * self.network(images)


confident = Confident(classifier)
attacked = FGSM(0.5).perturb(confident, test.images)
assert torch.equal(predict(confident, test.images), predict(classifier, test.images))
unchanged = (attacked == test.images).flatten(start_dim=1).all(dim=1)
print(f"unchanged images: {unchanged.sum()} of {len(test)}")
print("accuracy under FGSM, plain:    ", curves["no reformer"][-1], "at ε = 0.5")
print(
    "accuracy under FGSM, confident:",
    evaluate_accuracy(classifier, LabeledImages(attacked, test.labels)),
)

# %% [markdown]
# ## Checks

# %%
assert torch.equal(FGSM(0.0).perturb(classifier, images), images)
assert (FGSM(0.1).perturb(classifier, images) - images).abs().max() <= 0.1 + 1e-6
assert curves["no reformer"][0] == evaluate_accuracy(classifier, test)
assert Accuracy(0, 10).interval[0] == 0

# %% [markdown]
# ## Try it
#
# 1. FGSM leads *away* from a digit. An attacker may want to lead *to* one: the *target*. Write `my_targeted_step` in the cell below: one step of size ε
#    that makes the loss of the target smaller. Run the cell: it says what is off. How many of `test.images` become a 0? Which digit is the easiest target?
# 2. Take five steps of size 0.06 instead of one of 0.3 (clip to [0, 1] after each). This is I-FGSM, the plainest kind of PGD (lesson 09). How do the white-box numbers change?
# 3. The attacker has no reformer of yours, but trains one of her own: attack `ReformedClassifier(lab.reformer(denoising(0.3)), classifier)` and
#    evaluate on the one with 0.4. Is that nearer to grey or to white box?
# 4. Replay: give the white-box attacker the choice, per image, between its own image and the grey-box one. What is the accuracy then?
# 5. Why does FGSM change black background pixels only upwards?
#
# <details><summary>Hint for 1</summary>
#
# Begin with the lines of "FGSM, by hand". Two things change: which label the loss is asked about, and whether the step goes uphill or downhill.
#
# </details>
# <details><summary>Answers</summary>
#
# 1. `x = images.clone().requires_grad_()`, `loss = F.cross_entropy(network(x), targets, reduction="sum")`,
#    `(gradient,) = torch.autograd.grad(loss, x)`, `return (images - epsilon * gradient.sign()).clamp(0, 1)`. To count:
#    `predict(classifier, my_targeted_step(classifier, test.images, torch.full((len(test),), 0), 0.3)) == 0`. One step towards one certain digit
#    succeeds less often than one away from the right digit: any of nine wrong answers is easier to find than one of them. The digits differ a lot.
# 2. They fall, often far. One step follows the slope at the clean image only.
# 3. Compare with both numbers above. The nearer it is to the white box, the more alike the gradients of two separately trained reformers are.
# 4. Count images that survive *both*. It cannot be higher, and it is the honest white-box number of these two attacks.
# 5. They would have to become less than 0, and are clipped.
#
# </details>

# %%
from magnet_helpers.checks import check_targeted_step


def my_targeted_step(network, images, targets, epsilon):
    """Images: (N, 1, 28, 28), targets: (N,). Return images, each one step nearer to its target."""
    ...  # your lines


check_targeted_step(my_targeted_step)

# %% [markdown]
# ## Summary
#
# - FGSM is one step along the sign of the gradient. The direction does the damage, not the size.
# - Grey and white box differ in whose gradient is followed.
# - If more knowledge makes an attack weaker, doubt the attack.
#
# **Next:** `07_comparison` puts everything side by side with the paper.
#
# **References.** I. Goodfellow et al., *Explaining and Harnessing Adversarial Examples*, ICLR 2015 · A. Athalye et al., *Obfuscated Gradients
# Give a False Sense of Security*, ICML 2018 · N. Carlini et al., *On Evaluating Adversarial Robustness*, 2019.
