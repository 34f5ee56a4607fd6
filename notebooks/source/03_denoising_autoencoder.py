# %% [markdown]
# # 03 · The denoising autoencoder
#
# {{badges}}
#
# A network that is shown noisy images and must return clean ones cannot copy. That one change makes it a much better reformer.
#
# **You will learn** what denoising training is, why "noise level 0.3" can mean two things, how the noise level trades clean
# accuracy for robustness, and how to notice an autoencoder that has collapsed.
#
# **You need** lessons 00 to 02.
#
# {{minutes}}

# %%
# {{install}}
from magnet_helpers import start_lesson

lab = start_lesson("03_denoising_autoencoder")

# %% [markdown]
# ## Noise, by hand
#
# Each training image x is corrupted: x̃ = clip(x + σz, 0, 1), with a fresh number z from a standard normal for each pixel, in
# each batch. σ is the noise's *standard deviation*, in units in which black is 0 and white is 1.

# %%
import torch
from magnet_helpers import add_noise, new_generator

images, labels = lab.examples.images, lab.examples.labels
two = images[:2]
z = torch.randn(two.shape, generator=new_generator(0, "lesson 03"))
by_hand = (two + 0.4 * z).clamp(0, 1)
by_helper = add_noise(two, 0.4, new_generator(0, "lesson 03"))
assert torch.equal(by_hand, by_helper)

# %% [markdown]
# ### A trap: standard deviation or variance?
#
# The paper's text calls its noise level a variance. Its [program](https://github.com/wenlongx/CS260) multiplies a standard normal by the level, so the level is a
# standard deviation. If the text were right, level 0.4 would mean σ = √0.4 ≈ 0.63. The pictures differ a lot. We follow the
# program, because it made the paper's tables.

# %%
from magnet_helpers import plot_image_grid, show_figure

rows = {"clean": images}
for sigma in (0.1, 0.3, 0.5):
    rows[f"σ = {sigma}"] = add_noise(images, sigma, new_generator(0, "lesson 03"))
rows["σ = √0.4 = 0.63"] = add_noise(images, 0.4**0.5, new_generator(0, "lesson 03"))
show_figure(
    plot_image_grid(rows, lab.data.title),
    "noise",
    "Ten digits, clean and with noise of standard deviation 0.1, 0.3, 0.5 and 0.63. At 0.5 the digits are still readable, "
    "at 0.63 barely.",
)

# %% [markdown]
# ## The loss, by hand
#
# The noisy image goes in. The *clean* image is what the output is compared with.

# %%
from magnet_helpers import ConvAutoencoder, DenoisingLoss

network = ConvAutoencoder()
with torch.no_grad():
    squares = (two - network(by_hand)) ** 2
    loss_by_hand = squares.sum() / 2
    loss_by_helper = DenoisingLoss(noise_std=0.4)(network, two, labels[:2], new_generator(0, "lesson 03"))
assert torch.allclose(loss_by_hand, loss_by_helper)

# %% [markdown]
# ## Training
#
# The network is the one of lesson 02. What is new is the loss. (Below the `paper` budget the number of epochs differs as well, see the
# curves.) **Expect** a higher loss than there: some of what the noise destroyed
# cannot be guessed.
#
# `lab.prepare` trains and evaluates several networks at once, one on each core. What is there already (from lesson 00), it leaves alone.

# %%
from magnet_helpers import VANILLA, denoising, plot_history
from magnet_helpers.study.grid import NOISE_LEVELS

lab.prepare([VANILLA, *(denoising(noise_std) for noise_std in NOISE_LEVELS)])
histories = {defense.label: lab.history(defense) for defense in (VANILLA, denoising(0.2), denoising(0.4))}
show_figure(
    plot_history(histories, lab.setting, loss_name="loss per image"),
    "training",
    "Training and validation loss of the vanilla autoencoder and of denoising autoencoders with noise 0.2 and 0.4. In the "
    "end, the more noise, the higher the loss.",
)

# %% [markdown]
# **Expect** clean strokes in the bottom row, and some invented ones.

# %%
from magnet_helpers import apply_model

autoencoder = lab.reformer(denoising(0.4))
noisy = add_noise(images, 0.4, new_generator(1, "lesson 03"))
figure = plot_image_grid(
    {"clean": images, "noisy, σ = 0.4": noisy, "denoised": apply_model(autoencoder, noisy)}, lab.setting
)
show_figure(
    figure, "denoised", "Ten digits: clean, with noise of standard deviation 0.4, and denoised by the autoencoder."
)

# %% [markdown]
# ## Move the noise yourself
#
# A *panel*: the slider sets σ, the menu chooses the reformer. The upper row is noisy, the lower one is reformed. Under each image
# stands the classifier's answer: ✓ right, ✗ wrong, with a frame. The pattern z stays the same, so only σ changes. (A web page
# shows the first picture alone.)
#
# 1. Move σ down to 0. **Expect** right answers in both rows: the classifier needs no help.
# 2. Move it up to 1. **Expect** the upper row to fail first. In which range does the reformer make the difference?
# 3. Stay where the reformer just succeeds, and choose one that was trained with less noise, or the vanilla one.
#    **Expect** it to leave more of the noise, and to lose digits earlier.

# %%
from magnet_helpers.panels import noise_panel

noise_panel(lab, [VANILLA, *(denoising(noise_std) for noise_std in (0.1, 0.2, 0.3, 0.4))])

# %% [markdown]
# Without a panel, the same for one setting (also from `magnet_helpers.panels`): `explore_noise(lab, noise_std=0.8, reformer=VANILLA)`. Try σ far above the
# noise of the training: the output is a clean digit, and sometimes the wrong one. A clean picture proves nothing.

# %% [markdown]
# ## From noise to attack
#
# FGSM's pattern is no noise: it has the same size everywhere, before clipping, and is chosen against the classifier. Training never showed it. Still it
# looks like noise to the autoencoder. Compare with the vanilla one.

# %%
from magnet_helpers import PAPER_ATTACK, predict

classifier = lab.classifier()
adversarial = PAPER_ATTACK.perturb(classifier, images)
grid, captions = {"attacked": adversarial}, {}
for defense in (VANILLA, denoising(0.4)):
    grid[defense.label] = apply_model(lab.reformer(defense), adversarial)
    captions[defense.label] = [f"→ {answer}" for answer in predict(classifier, grid[defense.label]).tolist()]
show_figure(
    plot_image_grid(grid, lab.setting, captions=captions),
    "reformed",
    "Ten attacked digits and what the vanilla and the denoising autoencoder make of them. The denoising one removes nearly "
    "all of the background's pattern.",
)

# %% [markdown]
# ## How much noise?
#
# More noise in training removes more of the attack, and more of the digit. **Expect** grey-box accuracy to rise with the noise
# level until it levels off, and clean accuracy to fall a little.

# %%
from magnet_helpers import plot_accuracy_curves
from magnet_helpers.study.published import paper_number
from magnet_helpers.study.threats import CLEAN, GREY_BOX, WHITE_BOX

defenses = [denoising(noise_std) for noise_std in NOISE_LEVELS]
curves, paper = {}, {}
for threat in (CLEAN, GREY_BOX, WHITE_BOX):
    name = threat.knows.label
    curves[name] = [lab.report(defense).accuracy(threat.knows) for defense in defenses]
    paper[name] = [paper_number(defense, threat).percent for defense in defenses]
show_figure(
    plot_accuracy_curves(NOISE_LEVELS, curves, lab.note, x_name="noise in training, σ (pixel units)", paper=paper),
    "noise_levels",
    "Accuracy of the denoising autoencoder over the noise level: clean, grey box and white box, ours with intervals and the "
    "paper's as hollow markers. The paper's values at 0.1 and 0.2 lie near 11 percent.",
)

# %%
from magnet_helpers import NO_REFORMER
from magnet_helpers.study.reports import show_table

show_table(lab, [NO_REFORMER, VANILLA, *defenses])

# %% [markdown]
# ## The paper's 11.35 percent
#
# In the paper the autoencoders with noise 0.1 and 0.2 "do not converge": 11.35 % in every column. That number can be read. On
# MNIST 1,135 of the 10,000 test images are ones.

# %%
ones = int((lab.data.test.labels == 1).sum())
print(f"share of the digit 1 in all test images of {lab.data.title}: {ones} of {len(lab.data.test):,}")

# %% [markdown]
# So the classifier said "1" to everything. It saw the same image every time: the autoencoder's output did not depend on its input
# any more. This is called a *collapse*. How can it happen? One likely way: with a bias of 0 the last layer starts at sigmoid(0) = 0.5, grey. Digits are
# mostly black. So the first steps push everything down, hard, and ReLU units that fall below zero for every image get no gradient ever
# again. Our networks begin at 0.13, the mean pixel of MNIST, and skip that phase.
#
# The package checks every autoencoder after training. Here is a collapsed one, made by hand.

# %%
from magnet_helpers import is_constant

dead = ConvAutoencoder()
with torch.no_grad():
    dead.decoder[0].bias.fill_(-100)  # every unit of this layer is below zero: its ReLU passes nothing on
print("dead autoencoder constant:   ", is_constant(apply_model(dead, images), images))
for defense in defenses:
    print(f"{defense.label} constant:", is_constant(apply_model(lab.reformer(defense), images), images))

# %% [markdown]
# ## Checks

# %%
assert is_constant(apply_model(dead, images), images)
assert noisy.min() >= 0 and noisy.max() <= 1
assert not torch.equal(add_noise(images, 0.4, new_generator(0, "a")), add_noise(images, 0.4, new_generator(0, "b")))

# %% [markdown]
# ## Try it
#
# 1. Gaussian noise moves some pixels far and some hardly. FGSM moves all by the same ε, before clipping. Write noise of that size in the cell below:
#    every pixel moves by ε, up where z is positive and down where it is negative. Run the cell: it says what is off. Show the result for `images` and ε = 0.3. Does it
#    look like FGSM's pattern?
# 2. Draw the noise once, before training, and use it in every epoch (the paper's program did). What could go wrong? `fit`
#    takes clean images only, so write the loop over pairs of noisy and clean images yourself.
# 3. Which noise level gives the best white-box accuracy? Is the difference to its neighbours larger than the intervals?
# 4. Feed pure noise, `torch.rand(1, 1, 28, 28)`, to the vanilla and to the denoising autoencoder. Compare.
# 5. Build `ConvAutoencoder()`, set `decoder[2].bias` to 0, initialise the weights with `torch.nn.init.xavier_uniform_`, train it for a
#    few epochs with `DenoisingLoss(0.1)`. Is it constant?
#
# <details><summary>Hint</summary>
#
# For 1: the sign of a tensor is `.sign()`. What comes out must still be an image.
#
# </details>
#
# <details><summary>Answers</summary>
#
# 1. `return (images + epsilon * z.sign()).clamp(0, 1)`. With `z = torch.randn(images.shape)` it looks much alike: FGSM's pattern too has one size. But its signs are chosen
#    against the classifier, and here they are drawn.
# 2. The network can learn the noise of each training image by heart. Compare the loss
#    on noisy training and noisy validation images: a gap that grows is that learning.
# 3. See the figure and its intervals: where they overlap widely, one run cannot tell. (And who chooses by the test images should report on other ones.)
# 4. Look at how much of it each one lets through: to a denoiser, noise is what should go.
# 5. It may be, for the first hundreds of steps or for ever. Print `is_constant` after each epoch; try other seeds.
#
# </details>

# %%
from magnet_helpers.checks import check_sign_noise


def my_sign_noise(images, epsilon, z):
    """Return images (N, 1, H, W) whose pixels moved by epsilon in the direction of z's sign, clipped to [0, 1]."""
    ...  # your lines


check_sign_noise(my_sign_noise)

# %% [markdown]
# ## Summary
#
# - Denoising training forbids copying. The same network becomes a far better reformer.
# - The noise level is a standard deviation here. It trades clean accuracy against accuracy under attack.
# - An accuracy at the share of one digit means a constant output. Test for it.
#
# **Next:** `04_stacked_denoising_autoencoder` puts several of them in a row.
#
# **References.** P. Vincent et al., *Stacked Denoising Autoencoders*, JMLR 2010 · W. Xiong, *Improving MagNet with Different
# Autoencoder Architectures*, 2019, Tables 2 and 4.
