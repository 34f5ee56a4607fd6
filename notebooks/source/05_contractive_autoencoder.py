# %% [markdown]
# # 05 · The contractive autoencoder
#
# {{badges}}
#
# Noise teaches a network *by example* to ignore small changes. A contractive autoencoder is told so directly: a penalty keeps the
# code from reacting to the image.
#
# **You will learn** what the Jacobian of an encoder is, how to measure its size exactly and cheaply, how the penalty trains, and what
# the penalty is worth beside a control without it.
#
# **You need** lesson 02, and what a derivative of a vector by a vector is.
#
# {{minutes}}

# %%
# {{install}}
from magnet_helpers import start_lesson

lab = start_lesson("05_contractive_autoencoder")

# %% [markdown]
# ## The network
#
# The encoder of lesson 02, then a dense layer of 1568 *sigmoid* units (the code), then the same decoder. (The paper's Table 1 says ReLU for
# the dense layer, its text says sigmoid. Its [program](https://github.com/wenlongx/CS260) uses the sigmoid, and so do we.)

# %% tags=["nbval-check-output"]
import torch
from magnet_helpers import ContractiveAutoencoder, ConvAutoencoder

for network in (ConvAutoencoder(), ContractiveAutoencoder()):
    print(type(network).__name__, sum(parameter.numel() for parameter in network.parameters()), "parameters")

# %% [markdown]
# ## The Jacobian, by hand
#
# The Jacobian J of the encoder f at an image x has one row per code unit and one column per pixel: J[j, i] = ∂f_j/∂x_i, how fast unit j
# changes with pixel i. Its squared Frobenius norm, ‖J‖²_F = Σ J[j, i]², says how strongly the code reacts to changes of any kind.
#
# For a single dense layer h = σ(Wx + b) we can write J down: σ′ = h(1 − h), so J[j, i] = h_j (1 − h_j) W[j, i]. We check that against
# PyTorch's own Jacobian, for two random inputs.

# %%
from magnet_helpers import jacobian_frobenius_squared, sigmoid_layer_frobenius_squared
from torch.func import jacrev

generator = torch.Generator().manual_seed(5)
weight = torch.randn(6, 4, dtype=torch.float64, generator=generator)
inputs = torch.randn(2, 4, dtype=torch.float64, generator=generator)


def layer(x):
    return torch.sigmoid(x @ weight.T)


by_hand = torch.stack([((h * (1 - h))[:, None] * weight).square().sum() for h in layer(inputs)])
by_torch = torch.stack([jacrev(layer)(x).square().sum() for x in inputs])
assert torch.allclose(by_hand, by_torch)
assert torch.allclose(by_hand, sigmoid_layer_frobenius_squared(layer(inputs), weight))
assert torch.allclose(by_hand, jacobian_frobenius_squared(layer, inputs))

# %% [markdown]
# ### A published bug
#
# The closed form holds for *one* layer, with respect to that layer's *own* input. The paper defines the penalty on the whole encoder,
# with respect to the image. Its program uses the closed form on the dense layer alone, with a copy of its weights that training never
# updates. So its penalty does not measure how steep the convolutions are, and shrinking W does not lower it: all that training can do is push the
# codes towards 0 and 1. Its Table 3 is not about the penalty in its text. The
# variant is kept as `PublishedContractiveLoss`.

# %% [markdown]
# ## Measuring it for a deep encoder
#
# J of our encoder has 1568 rows and 784 columns. *Exactly*: push each of the 784 unit vectors through the network, each pass gives one column of J (*forward-mode* differentiation: it computes Jv without building J). *Cheaply*: draw a random vector v of ±1. The mean of ‖Jv‖² over many v is ‖J‖²_F, because the random signs make
# all mixed terms cancel on average. One v is enough for a training step: its error averages out over the batch and the steps.
#
# **Expect** the random values to scatter around the exact one, and their running mean to settle on it.

# %%
from magnet_helpers import contractive, new_generator
from magnet_helpers.study.grid import TABLE_3

lab.prepare(TABLE_3)
control = lab.reformer(contractive(0.0))
image = lab.examples.images[:1].to(lab.device)
exact = jacobian_frobenius_squared(control.encode, image).item()
copies = image.expand(lab.budget.projections, -1, -1, -1)
generator = new_generator(0, "lesson 05")
with torch.no_grad():
    draws = jacobian_frobenius_squared(control.encode, copies, projections=1, generator=generator).cpu()
error = (draws.std() / len(draws) ** 0.5).item()
print(f"exact {exact:.3f}, mean of {len(draws)} projections {draws.mean():.3f} ± {error:.3f} (one standard error)")
assert abs(draws.mean().item() - exact) < 5 * error

# %%
from magnet_helpers import show_figure
from magnet_helpers.plotting import COLORS, new_figure

figure, (left, right) = new_figure(1, 2, (8.5, 3.2), lab.setting)
left.hist(draws, bins=25, color=COLORS[0], edgecolor="white")
left.axvline(exact, color=COLORS[3], linestyle="--", label="exact")
left.set(xlabel="‖Jv‖² of one random v", ylabel="count")
left.legend()
right.plot(draws.cumsum(0) / torch.arange(1, len(draws) + 1), color=COLORS[0], label="running mean")
right.axhline(exact, color=COLORS[3], linestyle="--", label="exact")
right.set(xlabel="number of random vectors", ylabel="estimate of ‖J‖²")
right.legend()
show_figure(
    figure,
    "projections",
    "Left: histogram of single random projections around the exact squared Jacobian norm. Right: their running mean settles on it.",
)

# %% [markdown]
# ## The loss, by hand
#
# Reconstruction error plus λ times the norm. With the same random v, by hand and by helper, for two images:

# %%
from magnet_helpers import ContractiveLoss
from torch.func import jvp

two = lab.examples.images[:2].to(lab.device)
signs = torch.randint(0, 2, two.shape, generator=new_generator(0, "lesson 05")).mul(2).sub(1).to(two)
with torch.no_grad():
    jv = jvp(control.encode, (two,), (signs,))[1]
    by_hand = (((two - control(two)) ** 2).sum() + 0.01 * jv.square().sum()) / 2
    loss = ContractiveLoss(penalty_weight=0.01)
    by_helper = loss(control, two, lab.examples.labels[:2], new_generator(0, "lesson 05"))
assert torch.allclose(by_hand, by_helper)

# %% [markdown]
# ## Training, with a control
#
# The contractive autoencoder differs from the vanilla one in *two* things: the dense sigmoid layer, and the penalty. If it does better,
# which of them did it? The paper cannot say. It has no row for the network without penalty. We train it: λ = 0.

# %%
from magnet_helpers import plot_history

histories = {defense.label: lab.history(defense) for defense in (TABLE_3[0], TABLE_3[3], TABLE_3[5])}
show_figure(
    plot_history(histories, lab.setting, loss_name="loss per image, penalty included"),
    "training",
    "Training and validation loss of three contractive autoencoders: without penalty, with λ = 0.001 and with λ = 0.1.",
)

# %% [markdown]
# Did the penalty do what it is for? **Expect** the measured norm to fall as λ grows, and small λ to change little, up or down.

# %%
sample = lab.test.spread(lab.budget.jacobian_images).images.to(lab.device)
norms = []
for defense in TABLE_3:
    with torch.no_grad():
        norms.append(jacobian_frobenius_squared(lab.reformer(defense).encode, sample).cpu())
    lowest, highest = norms[-1].min().item(), norms[-1].max().item()
    print(
        f"{defense.label:<15} ‖J‖² of {len(sample)} test images: mean {norms[-1].mean():.4f}, from {lowest:.4f} to {highest:.4f}"
    )

# %%
figure, axes = new_figure(1, 1, (6.5, 3.4), lab.note_for(len(sample)))
names = [f"{defense.penalty_weight:g}" for defense in TABLE_3]
for index in range(len(sample)):
    of_one = [each[index].item() for each in norms]
    axes.plot(names, of_one, linestyle="", marker="_", color="0.5", label=None if index else "one image")
axes.plot(names, [each.mean().item() for each in norms], marker="o", color=COLORS[0], label="mean")
axes.set(xlabel="penalty weight λ", ylabel="‖J‖² (exact)")
axes.set_ylim(bottom=0)
axes.legend()
show_figure(
    figure,
    "jacobian_norms",
    "Squared Jacobian norm of the encoder over the penalty weight: a short line for each test image, and their mean as connected dots.",
)

# %% [markdown]
# ## What is contraction worth?
#
# **Before you look:** what would the curve look like if the penalty did nothing and the dense layer everything?

# %%
from magnet_helpers import plot_accuracy_curves
from magnet_helpers.study.published import paper_number
from magnet_helpers.study.threats import CLEAN, GREY_BOX, WHITE_BOX

curves, paper = {}, {}
for threat in (CLEAN, GREY_BOX, WHITE_BOX):
    name = threat.knows.label
    curves[name] = [lab.report(defense).accuracy(threat.knows) for defense in TABLE_3]
    printed = [paper_number(defense, threat) for defense in TABLE_3]
    paper[name] = [number and number.percent for number in printed]
weights = [defense.penalty_weight for defense in TABLE_3]
figure = plot_accuracy_curves(weights, curves, lab.note, x_name="penalty weight λ", paper=paper, tick_labels=names)
show_figure(
    figure,
    "penalty_weights",
    "Accuracy of the contractive autoencoder over the penalty weight, starting with the control at 0: clean, grey box and white box, "
    "ours with intervals and the paper's as hollow markers.",
)

# %%
from magnet_helpers import VANILLA
from magnet_helpers.study.reports import show_table

show_table(lab, [VANILLA, *TABLE_3])

# %% [markdown]
# Compare three rows: the vanilla autoencoder, λ = 0, and a λ > 0. From the second to the third only the penalty changes: that step is what
# the penalty is worth, and it may be negative. From the first to the second the network changes, and, below the `paper` budget, the number
# of epochs too. If the first step is the larger one, the penalty is not what makes the difference, as far as one seed can tell. And who picks
# the *best* λ by this table flatters it: it was chosen on the images that it is judged by.
#
# Look at λ = 0.1 in the grey box, too. In one run with the `fast` budget it can be the largest step of the whole table. Over three seeds it was
# +8.7 ± 17.4 points beside λ = 0: it may help a lot, or not at all. With the paper's budget it was −0.3 ± 4.3 in the grey box and −3.4 ± 0.8 in the white box.
# Lesson 07 shows where these numbers come from.

# %% [markdown]
# ## Checks

# %%
codes = control.encode(two)
assert codes.shape == (2, 1568)
assert codes.min() >= 0 and codes.max() <= 1
assert all((each > 0).all() for each in norms)

# %% [markdown]
# ## Try it
#
# 1. The paper's Table 1 says ReLU where its text says sigmoid. Write ‖∂h/∂x‖²_F for a layer h = relu(Wx + b) yourself, in the cell below,
#    without a loop over the images. Run the cell: it says what is off.
# 2. A student computes `torch.autograd.grad(codes.sum(), x)` and squares it. What does that measure? Compare with the exact value.
# 3. Multiply all pixels by 255. What happens to ‖J‖²_F, and which λ would mean the same?
# 4. A network can lower ‖J‖ by making its codes tiny and its decoder's weights huge. Does that make it robust? What would you measure instead?
# 5. The error here is summed over pixels. With the *mean* over pixels, which λ does the same as λ = 0.001?
#
# <details><summary>Hint for 1</summary>
#
# J[j, i] is the slope of unit j times W[j, i]. How steep is ReLU left of 0, and right of it? What does h_j tell you about that?
#
# </details>
# <details><summary>Answers</summary>
#
# 1. A unit that is on has the slope 1, one that is off has the slope 0. So the rows of W that belong to units above 0 count, and no others:
#    `return (codes > 0).to(weight) @ weight.square().sum(dim=1)`. The codes enter only by being on or off. Their gradient is 0: this penalty
#    is trained through W alone.
# 2. The norm of the *sum of the rows* of J. Rows of opposite sign cancel, so it is no measure of the whole matrix.
# 3. J is divided by 255, its squared norm by 255². λ must be 255² times larger. (That is if the target stays in [0, 1]. If
#    the target is multiplied too, the error grows by 255² as well.)
# 4. No. Measure how far the *reconstruction* moves: the Jacobian of g∘f.
# 5. 0.001 / 784 ≈ 1.3e-6.
#
# </details>

# %%
from magnet_helpers.checks import check_relu_layer_penalty


def my_relu_layer_penalty(codes, weight):
    """codes: (N, m), weight: (m, n). Return one number for each image."""
    ...  # your lines


check_relu_layer_penalty(my_relu_layer_penalty)

# %% [markdown]
# ## Summary
#
# - ‖J‖²_F measures how strongly the code reacts to the image. Random projections make it cheap enough to train with.
# - A closed form for one layer is not the norm of a deep encoder.
# - A claim about a penalty needs the same network without the penalty.
#
# **Next:** `06_attacks` takes the attacker's side.
#
# **References.** S. Rifai et al., *Contractive Auto-Encoders*, ICML 2011 · M. Hutchinson, *A Stochastic Estimator of the Trace of the
# Influence Matrix*, 1990 · W. Xiong, 2019, Table 3.
