# %% [markdown]
# # 04 · Stacked denoising autoencoders
#
# {{badges}}
#
# If one denoising autoencoder cleans an image, two in a row may clean it better. The paper says they do, in the grey box.
#
# **You will learn** how a stack is pretrained stage by stage and then trained as one network, what each stage does, and whether
# depth pays.
#
# **You need** lesson 03.
#
# {{minutes}}

# %%
# {{install}}
from magnet_helpers import start_lesson

lab = start_lesson("04_stacked_denoising_autoencoder")

# %% [markdown]
# ## A chain of images
#
# In this paper the *image* that one autoencoder returns is the input of the next. (In other papers a stack passes on the code.) By
# hand that is one line. The package calls it `StackedAutoencoder`.

# %%
import torch
from magnet_helpers import ConvAutoencoder, StackedAutoencoder

first, second = ConvAutoencoder(), ConvAutoencoder()
two = lab.examples.images[:2]
with torch.no_grad():
    by_hand = second(first(two))
    by_helper = StackedAutoencoder([first, second])(two)
assert torch.equal(by_hand, by_helper)

# %% tags=["nbval-check-output"]
for size in (1, 2, 3):
    stack = StackedAutoencoder([ConvAutoencoder() for _ in range(size)])
    print(size, "autoencoders:", sum(parameter.numel() for parameter in stack.parameters()), "parameters")

# %% [markdown]
# ## Two steps of training
#
# A deep chain is hard to train from scratch. So:
#
# 1. **Pretraining.** Stage 1 is a denoising autoencoder on clean images x. Stage 2 is a denoising autoencoder on the images that stage
#    1 makes of *clean* images, x₁ = stage₁(x). Stage 3 follows on x₂ = stage₂(x₁). (The paper's [program](https://github.com/wenlongx/CS260) used noisy images here; its text
#    says clean. We follow the text.)
# 2. **Joint training.** The stages are joined. The chain as a whole gets noisy images and must return the clean ones.
#
# We train stacks of two and three for the noise levels 0.3 and 0.4, on all cores at once. (Lessons 06 and 07 add the other levels.) Here
# are the "clean images" that stages 2 and 3 were pretrained on.

# %%
from magnet_helpers import apply_model, plot_image_grid, show_figure, stacked

levels = (0.3, 0.4)
lab.prepare([stacked(size, noise_std) for size in (1, 2, 3) for noise_std in levels])
images = lab.examples.images
stages = lab.stages(stacked(3, 0.4))
x1 = apply_model(stages[0], images)
x2 = apply_model(stages[1], x1)
figure = plot_image_grid({"stage 1 learns x": images, "stage 2 learns x₁": x1, "stage 3 learns x₂": x2}, lab.setting)
show_figure(
    figure,
    "stage_inputs",
    "Ten digits as the clean images of stages 1, 2 and 3: each row a little smoother than the one above.",
)

# %% [markdown]
# The loss of stage 2 for two images, by hand: noise is added to x₁, and the result is compared with x₁.

# %%
from magnet_helpers import DenoisingLoss, add_noise, new_generator

clean = x1[:2].to(lab.device)
with torch.no_grad():
    noisy = add_noise(clean, 0.4, new_generator(0, "lesson 04"))
    by_hand = ((clean - stages[1](noisy)) ** 2).sum() / 2
    by_helper = DenoisingLoss(0.4)(stages[1], clean, lab.examples.labels[:2], new_generator(0, "lesson 04"))
assert torch.allclose(by_hand, by_helper)

# %% [markdown]
# ## Joint training
#
# **Expect** the stack to start low, because its stages are trained already. The longer chain may start higher than the shorter one: each
# stage adds its own mistakes, until they learn to work together.

# %%
from magnet_helpers import denoising, plot_history

histories = {defense.label: lab.history(defense) for defense in (denoising(0.4), stacked(2, 0.4), stacked(3, 0.4))}
show_figure(
    plot_history(histories, lab.setting, loss_name="loss per image"),
    "training",
    "Training and validation loss: one denoising autoencoder from its first epoch, and the joint training of two and three.",
)

# %% [markdown]
# ## What each stage does to an attacked image
#
# **Expect** most of the work in the first stage, and after the last one a clean background and clear strokes. What stands between may look odd.

# %%
from magnet_helpers import PAPER_ATTACK, predict

classifier = lab.classifier()
grid = {"attacked": PAPER_ATTACK.perturb(classifier, images)}
captions = {}
for number, stage in enumerate(lab.reformer(stacked(3, 0.4)).stages, start=1):
    name = f"after stage {number}"
    grid[name] = apply_model(stage, list(grid.values())[-1])
    captions[name] = [f"→ {answer}" for answer in predict(classifier, grid[name]).tolist()]
show_figure(
    plot_image_grid(grid, lab.setting, captions=captions),
    "stages",
    "Ten attacked digits and the images after each of the three stages of a stack, with the classifier's answer under each.",
)

# %% [markdown]
# Only the last row is what the stack was trained to make. In joint training the images between the stages are free to look like
# anything that helps.

# %% [markdown]
# ## Does depth pay?
#
# Two noise levels, one to three autoencoders. The paper's stacks failed to train at 0.3: near 10 % is what guessing gives. **Expect**
# ours to train at both levels, and to rise under attack with every autoencoder that is added.

# %%
from magnet_helpers import plot_accuracy_curves
from magnet_helpers.study.published import paper_number
from magnet_helpers.study.threats import CLEAN, GREY_BOX, WHITE_BOX

sizes = (1, 2, 3)


def curves_of(threat):
    ours, paper = {}, {}
    for noise_std in levels:
        defenses = [stacked(size, noise_std) for size in sizes]
        name = f"noise {noise_std:g}"
        ours[name] = [lab.report(defense).accuracy(threat.knows) for defense in defenses]
        paper[name] = [paper_number(defense, threat).percent for defense in defenses]
    return ours, paper


# %%
for threat in (GREY_BOX, WHITE_BOX, CLEAN):
    ours, paper = curves_of(threat)
    name = threat.knows.label
    figure = plot_accuracy_curves(
        sizes,
        ours,
        f"{name} · {lab.note}",
        x_name="autoencoders in a row",
        paper=paper,
        tick_labels=["DAE", "SDAE(2)", "SDAE(3)"],
    )
    show_figure(
        figure,
        "depth_" + name.replace(" ", "_"),
        f"{name} accuracy over the number of denoising autoencoders, one line for noise 0.3 and one for 0.4, ours with intervals "
        "and the paper's as hollow markers; the paper's stacks at noise 0.3 lie near 10 percent.",
    )

# %%
from magnet_helpers.study.reports import show_table

table = [stacked(size, noise_std) for size in (1, 2, 3) for noise_std in levels]
show_table(lab, table)

# %% [markdown]
# Before you call a difference real, look at the intervals. And remember that each row is *one* training. The paper reports 1.0 point
# between SDAE(3) and DAE at noise 0.4 in the white box. The luck of 10,000 test images alone is ±0.8 points for each of the two.

# %% [markdown]
# ## Checks

# %%
assert x1.shape == x2.shape == images.shape
assert len(lab.reformer(stacked(2, 0.4)).stages) == 2
assert not any(lab.report(defense).collapsed for defense in table), "a stack has collapsed"

# %% [markdown]
# ## Try it
#
# 1. A stack may also be one autoencoder, used again and again. Write that in the cell below: apply it `times` times in a row. Run the cell: it says what is
#    off.
# 2. Use the pretrained stages without the joint training: `StackedAutoencoder(lab.stages(stacked(3, 0.4)))`. Evaluate it with
#    `evaluate_defense(classifier, …, lab.test, PAPER_ATTACK)`.
# 3. Apply one denoising autoencoder three times in a row, with your function. How does that compare with three trained ones?
# 4. Pretrain stage 2 on x₁ of *noisy* images, as the paper's program did. Why might that be better, or worse?
# 5. The stack has three times the parameters. How would you find out whether depth or size makes the difference?
#
# <details><summary>Hint</summary>
#
# For 1: a `for` loop. What comes out of one pass is called `images` again, and goes into the next.
#
# </details>
#
# <details><summary>Answers</summary>
#
# 1. `for _ in range(times): images = autoencoder(images)`, and after the loop `return images`.
# 2. Compare clean accuracy first, then the grey box. What joint training adds is the difference to the table.
# 3. `StackedAutoencoder([dae, dae, dae])` is the same. Each pass smooths again. Look at clean accuracy after one, two and three passes.
# 4. Better: it is what stage 2 will see. Worse: its target then holds stage 1's mistakes.
# 5. Train one autoencoder with three times the parameters (wider layers) for the same total time, pretraining included.
#
# </details>

# %%
from magnet_helpers.checks import check_repeated


def my_repeated(autoencoder, images, times):
    """Return the images (N, 1, H, W) after so many passes through the autoencoder."""
    ...  # your lines


check_repeated(my_repeated)

# %% [markdown]
# ## Summary
#
# - A stack passes images on. It is pretrained stage by stage, then trained as one network.
# - Later stages smooth further. That helps against the attack, and costs at most a little clean accuracy.
# - Differences of a point need several seeds before anybody should believe them.
#
# **Next:** `05_contractive_autoencoder` attacks the problem from another side.
#
# **References.** P. Vincent et al., *Stacked Denoising Autoencoders*, JMLR 2010 · W. Xiong, *Improving MagNet with Different
# Autoencoder Architectures*, 2019, Table 2.
