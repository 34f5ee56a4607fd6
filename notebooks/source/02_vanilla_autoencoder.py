# %% [markdown]
# # 02 · The vanilla autoencoder
#
# {{badges}}
#
# The first reformer is the plainest: a network that learns to return what it is shown.
#
# **You will learn** how an autoencoder is built and trained, what its code looks like, and why a good copy is a poor reformer.
#
# **You need** lessons 00 and 01.
#
# {{minutes}}

# %%
# {{install}}
from magnet_helpers import start_lesson

lab = start_lesson("02_vanilla_autoencoder")

# %% [markdown]
# ## Encoder, code, decoder
#
# The *encoder* f turns an image x into a *code* f(x). The *decoder* g turns the code back into an image g(f(x)). This is the
# paper's Table 1.

# %% tags=["nbval-check-output"]
import torch
from magnet_helpers import ConvAutoencoder

network = ConvAutoencoder()
image = torch.zeros(1, 1, 28, 28)
code = network.encode(image)
print("image", image.numel(), "→ code", code.numel(), "→ image", network.decode(code).numel(), "numbers")
print("parameters:", sum(parameter.numel() for parameter in network.parameters()))

# %% [markdown]
# Look at these numbers. The code is *twice as large* as the image. Nothing forces this network to leave anything out. It could
# learn to copy every pixel, the attacker's changes included. (The paper's text speaks of a code of 7×7×1; its Table 1 and its
# [program](https://github.com/wenlongx/CS260) have 7×7×32.)

# %% [markdown]
# ## The loss, by hand
#
# The loss of an image is ‖x − g(f(x))‖²: the squared differences, summed over its 784 pixels. The loss of a batch is the mean
# over its images.

# %%
from magnet_helpers import ReconstructionLoss

two, their = lab.examples.images[:2], lab.examples.labels[:2]
with torch.no_grad():
    squares = (two - network(two)) ** 2
    by_hand = (squares[0].sum() + squares[1].sum()) / 2
    by_helper = ReconstructionLoss()(network, two, their, torch.Generator())
print("untrained:", round(by_hand.item(), 2))
assert torch.allclose(by_hand, by_helper)

# %% [markdown]
# ## Training
#
# **Expect** a loss that falls far, on MNIST to a few units. A loss of 4 means that a pixel is off by √(4/784) ≈ 0.07.

# %%
from magnet_helpers import VANILLA, plot_history, show_figure

autoencoder = lab.reformer(VANILLA)
figure = plot_history({"vanilla AE": lab.history(VANILLA)}, lab.setting, loss_name="‖x − x̂‖² (per image)")
show_figure(figure, "training", "Training and validation loss of the vanilla autoencoder over the epochs.")

# %% [markdown]
# **Expect** reconstructions that are hard to tell from the originals.

# %%
from magnet_helpers import apply_model, plot_image_grid

images = lab.examples.images
copies = apply_model(autoencoder, images)
figure = plot_image_grid({"image": images, "reconstruction": copies, "difference": copies - images}, lab.setting)
show_figure(
    figure,
    "reconstructions",
    "Ten digits, their reconstructions by the vanilla autoencoder, and the differences, which follow the strokes' edges.",
)

# %% [markdown]
# ## What the units of the code do
#
# The code of one image has 32 maps of 7×7 numbers. First we look at the maps of one digit. Bright means active.
# (Each small picture has its own scale, so compare places, not pictures.)

# %%
from magnet_helpers import plot_tiles

maps = autoencoder.encode(images[2:3].to(lab.device)).detach().view(32, 1, 7, 7)
show_figure(
    plot_tiles(maps, "the 32 maps of the code of one digit 2", lab.setting),
    "code_maps",
    "32 small maps of the code of a digit two. Some show the stroke coarsely, some its edges in one direction, some stay dark.",
)

# %% [markdown]
# Then we ask what each map *paints*: put a single active number into the middle of one map, leave all others at zero, and
# decode. What remains when nothing is active is subtracted.

# %%
with torch.no_grad():
    codes = torch.zeros(32, 32, 7, 7)
    codes[torch.arange(32), torch.arange(32), 3, 3] = float(maps.max())
    codes = codes.flatten(start_dim=1).to(lab.device)
    painted = autoencoder.decode(codes) - autoencoder.decode(torch.zeros_like(codes))
show_figure(
    plot_tiles(painted[:, :, 6:18, 6:18], "what one active number of each map paints (12×12 pixels)", lab.setting),
    "code_units",
    "32 small patches: what each map of the code adds to the image around its position: blobs, edges and dark spots.",
)

# %% [markdown]
# Each unit paints a small stroke or an edge *at its own place*. None of them knows what a digit is. A code of local strokes can
# write down an attacker's grey pattern as easily as a digit.

# %% [markdown]
# ## As a reformer
#
# **Expect** that clean digits survive. Before you look at the attacked ones: where will the reconstruction lie, near the clean
# image or near the attacked one?

# %%
from magnet_helpers import PAPER_ATTACK, predict

classifier = lab.classifier()
adversarial = PAPER_ATTACK.perturb(classifier, images)
reformed = apply_model(autoencoder, adversarial)
answers = [f"→ {answer}" for answer in predict(classifier, reformed).tolist()]
figure = plot_image_grid(
    {"attacked": adversarial, "reformed": reformed, "difference": reformed - adversarial},
    lab.setting,
    captions={"reformed": answers},
)
show_figure(
    figure,
    "reformed",
    "Ten attacked digits, what the vanilla autoencoder makes of them, and the difference. Much of the attack's pattern remains.",
)

# %%
from magnet_helpers import squared_error

attacked = lab.attacked()
returned = apply_model(autoencoder, attacked)
to_attacked = squared_error(returned, attacked).mean().item()
to_clean = squared_error(returned, lab.test.images).mean().item()
print(
    f"mean squared distance of the reformed image to the attacked one {to_attacked:.1f}, to the clean one {to_clean:.1f}; "
    f"of the attacked image to the clean one {squared_error(attacked, lab.test.images).mean().item():.1f}"
)

# %% [markdown]
# The attack itself moved the images by the third number. If the second is not much smaller than the third, the reformer removed little
# of the attack. If the first is smaller than the second, its output is nearer to the attacked image than to the clean one. It was trained
# to copy, and that is what it does.

# %%
from magnet_helpers import NO_REFORMER
from magnet_helpers.study.reports import show_table

show_table(lab, [NO_REFORMER, VANILLA])

# %% [markdown]
# ## Checks

# %%
assert reformed.shape == adversarial.shape
assert reformed.min() >= 0 and reformed.max() <= 1
assert torch.equal(autoencoder.decode(autoencoder.encode(images.to(lab.device))), autoencoder(images.to(lab.device)))

# %% [markdown]
# ## Try it
#
# 1. A squared error says little to the eye. Write in the cell below how far off a pixel is: for each image the root of the *mean* squared difference. Run the
#    cell: it says what is off. What does your function give for `images` and `copies`?
# 2. Feed the autoencoder an image that is no digit: `torch.rand(1, 1, 28, 28)`. What comes back? What does that say about the manifold
#    picture of lesson 00?
# 3. `ConvAutoencoder(decoder_width=64)` is what the paper's program used. How many more parameters does it have?
# 4. How small would the code have to be before copying becomes impossible? How would you change the network?
# 5. Why is the loss summed over pixels and not averaged? Which later lesson would change if it were averaged?
#
# <details><summary>Hint</summary>
#
# For 1: "a loss of 4 means that a pixel is off by √(4/784)". `.mean(dim=(1, 2, 3))` averages over everything but the images.
#
# </details>
#
# <details><summary>Answers</summary>
#
# 1. `return ((images - reconstructions) ** 2).mean(dim=(1, 2, 3)).sqrt()`. For `images` and `copies` it gives a few hundredths: black is 0, white is 1.
# 2. Something like a smoothed version of the noise. This autoencoder does not pull every image to the digits.
# 3. 28,641 against 19,105: 9,536 more.
# 4. Any code with fewer numbers than the digits really need forces a choice, for example a dense layer with 20 units.
# 5. The sum is the paper's ‖·‖². In lesson 05 a penalty with weight λ stands beside it, and λ would mean something 784 times stronger.
#
# </details>

# %%
from magnet_helpers.checks import check_pixel_error


def my_pixel_error(images, reconstructions):
    """Return the root of the mean squared difference of each image (N, 1, H, W), shape (N,)."""
    ...  # your lines


check_pixel_error(my_pixel_error)

# %% [markdown]
# ## Summary
#
# - The autoencoder's code is larger than the image: it can learn to copy.
# - A good copy keeps the attack. Low reconstruction loss does not make a good reformer.
#
# **Next:** `03_denoising_autoencoder` trains the same network *not* to copy.
#
# **References.** G. Hinton, R. Salakhutdinov, *Reducing the Dimensionality of Data with Neural Networks*, Science 2006 · D. Meng, H.
# Chen, *MagNet*, CCS 2017.
