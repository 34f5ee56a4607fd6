# What students might hand in for assignment 04. Each cell is one answer to one task: its header says what it does,
# which task it answers, and whether it deserves the marks.

# %% each chain from its start task="chain" right=true
import torch


def after_each_stage(stages, images):
    return [torch.nn.Sequential(*stages[:count])(images) for count in range(1, len(stages) + 1)]


# %% with accumulate task="chain" right=true
from itertools import accumulate


def after_each_stage(stages, images):
    return list(accumulate(stages, lambda shown, stage: stage(shown), initial=images))[1:]


# %% without gradients, as a tuple task="chain" right=true
import torch


@torch.no_grad()
def after_each_stage(stages, images):
    results = ()
    for index in range(len(stages)):
        results += (stages[index](results[-1] if results else images),)
    return results


# %% every stage gets the original images task="chain" right=false
def after_each_stage(stages, images):
    return [stage(images) for stage in stages]


# %% the last output only task="chain" right=false
def after_each_stage(stages, images):
    for stage in stages:
        images = stage(images)
    return images


# %% begins with what goes in task="chain" right=false
def after_each_stage(stages, images):
    found = []
    for stage in stages:
        found.append(images)
        images = stage(images)
    return found


# %% one too many task="chain" right=false
def after_each_stage(stages, images):
    found = [images]
    for stage in stages:
        found.append(stage(found[-1]))
    return found


# %% from the last stage to the first task="chain" right=false
def after_each_stage(stages, images):
    found = []
    for stage in reversed(stages):
        images = stage(images)
        found.append(images)
    return found


# %% the list turned round task="chain" right=false
def after_each_stage(stages, images):
    found = []
    for stage in stages:
        images = stage(images)
        found.insert(0, images)
    return found


# %% the first stage again and again task="chain" right=false
def after_each_stage(stages, images):
    found = []
    for _ in stages:
        images = stages[0](images)
        found.append(images)
    return found


# %% the last stage is forgotten task="chain" right=false
def after_each_stage(stages, images):
    found = []
    for stage in stages[:-1]:
        images = stage(images)
        found.append(images)
    return found


# %% a chain, its modes put back task="inputs" right=true
import torch


def stage_images(stages, k, images):
    before = torch.nn.Sequential(*stages[: k - 1])
    modes = [stage.training for stage in before]
    before.eval()
    result = before(images).detach()
    for stage, mode in zip(before, modes, strict=True):
        stage.train(mode)
    return result


# %% copies of the stages task="inputs" right=true
from copy import deepcopy

import torch


@torch.no_grad()
def stage_images(stages, k, images):
    for number in range(1, k):
        images = deepcopy(stages[number - 1]).eval()(images)
    return images


# %% the package's own task="inputs" right=true
from magnet_helpers import apply_model


def stage_images(stages, k, images):
    for stage in stages[: k - 1]:
        images = apply_model(stage, images)
    return images


# %% every module's mode put back task="inputs" right=true
import torch


def stage_images(stages, k, images):
    modes = {module: module.training for stage in stages for module in stage.modules()}
    for stage in stages:
        stage.eval()
    with torch.inference_mode():
        for index in range(k - 1):
            images = stages[index](images)
    for module, mode in modes.items():
        module.training = mode
    return images.clone()


# %% stage k too task="inputs" right=false
def stage_images(stages, k, images):
    with torch.no_grad():
        for stage in stages[:k]:
            mode = stage.training
            images = stage.eval()(images)
            stage.train(mode)
    return images


# %% counted from 0 task="inputs" right=false
def stage_images(stages, k, images):
    with torch.no_grad():
        for stage in stages[: max(k - 2, 0)]:
            mode = stage.training
            images = stage.eval()(images)
            stage.train(mode)
    return images


# %% the whole stack task="inputs" right=false
def stage_images(stages, k, images):
    with torch.no_grad():
        for stage in stages:
            mode = stage.training
            images = stage.eval()(images)
            stage.train(mode)
    return images


# %% the stage before alone task="inputs" right=false
def stage_images(stages, k, images):
    if k == 1:
        return images
    with torch.no_grad():
        mode = stages[k - 2].training
        images = stages[k - 2].eval()(images)
        stages[k - 2].train(mode)
    return images


# %% in the mode in which they came task="inputs" right=false
def stage_images(stages, k, images):
    with torch.no_grad():
        for stage in stages[: k - 1]:
            images = stage(images)
    return images


# %% with gradients task="inputs" right=false
def stage_images(stages, k, images):
    for stage in stages[: k - 1]:
        mode = stage.training
        images = stage.eval()(images)
        stage.train(mode)
    return images


# %% left in evaluation mode task="inputs" right=false
def stage_images(stages, k, images):
    with torch.no_grad():
        for stage in stages[: k - 1]:
            images = stage.eval()(images)
    return images


# %% all put into training mode afterwards task="inputs" right=false
def stage_images(stages, k, images):
    with torch.no_grad():
        for stage in stages[: k - 1]:
            images = stage.eval()(images)
            stage.train()
    return images


# %% frozen for ever task="inputs" right=false
def stage_images(stages, k, images):
    for stage in stages[: k - 1]:
        mode = stage.training
        stage.requires_grad_(False)
        images = stage.eval()(images)
        stage.train(mode)
    return images


# %% a run in training mode first task="inputs" right=false
def stage_images(stages, k, images):
    with torch.no_grad():
        for stage in stages[: k - 1]:
            mode = stage.training
            stage.train()(images)
            images = stage.eval()(images)
            stage.train(mode)
    return images


# %% noise is added, as the program did task="inputs" right=false
def stage_images(stages, k, images):
    images = (images + 0.4 * torch.randn_like(images)).clamp(0, 1)
    with torch.no_grad():
        for stage in stages[: k - 1]:
            mode = stage.training
            images = stage.eval()(images)
            stage.train(mode)
    return images


# %% by hand task="joint" right=true
import torch


def joint_step(stages, images, noisy, step_size):
    chain = torch.nn.Sequential(*stages)
    loss = (chain(noisy) - images).pow(2).flatten(1).sum(dim=1).mean()
    weights = list(chain.parameters())
    with torch.no_grad():
        for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
            weight -= step_size * gradient
    return loss.item()


# %% one group for each stage, cleared at both ends task="joint" right=true
import torch


def joint_step(stages, images, noisy, step_size):
    optimizer = torch.optim.SGD([{"params": stage.parameters()} for stage in stages], lr=step_size)
    optimizer.zero_grad(set_to_none=False)
    output = noisy
    for stage in stages:
        output = stage(output)
    loss = torch.nn.functional.mse_loss(output, images, reduction="sum") / images.shape[0]
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.detach()


# %% the package's stack task="joint" right=true
import torch
from magnet_helpers import StackedAutoencoder, squared_error


def joint_step(stages, images, noisy, step_size):
    stack = StackedAutoencoder(stages)
    stack.zero_grad()
    loss = squared_error(images, stack(noisy)).mean()
    loss.backward()
    torch.optim.SGD(stack.parameters(), lr=step_size).step()
    return loss


# %% as the friend wrote it task="joint" right=false
def joint_step(stages, images, noisy, step_size):
    optimizer = torch.optim.SGD(stages[-1].parameters(), lr=step_size)
    output = noisy
    for stage in stages:
        output = stage(output.detach())
    loss = ((output - noisy) ** 2).sum() / len(images)
    loss.backward()
    optimizer.step()
    return loss


# %% the optimiser knows the last stage only task="joint" right=false
def joint_step(stages, images, noisy, step_size):
    optimizer = torch.optim.SGD(stages[-1].parameters(), lr=step_size)
    output = noisy
    for stage in stages:
        output = stage(output)
    loss = ((output - images) ** 2).sum() / len(images)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


# %% detached between the stages task="joint" right=false
def joint_step(stages, images, noisy, step_size):
    optimizer = torch.optim.SGD([weight for stage in stages for weight in stage.parameters()], lr=step_size)
    output = noisy
    for stage in stages:
        output = stage(output.detach())
    loss = ((output - images) ** 2).sum() / len(images)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


# %% every stage has a loss of its own task="joint" right=false
def joint_step(stages, images, noisy, step_size):
    output = noisy
    for stage in stages:
        optimizer = torch.optim.SGD(stage.parameters(), lr=step_size)
        output = stage(output.detach())
        loss = ((output - images) ** 2).sum() / len(images)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss


# %% against the noisy images task="joint" right=false
def joint_step(stages, images, noisy, step_size):
    chain = torch.nn.Sequential(*stages)
    optimizer = torch.optim.SGD(chain.parameters(), lr=step_size)
    loss = ((chain(noisy) - noisy) ** 2).sum() / len(images)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


# %% clean images go in task="joint" right=false
def joint_step(stages, images, noisy, step_size):
    chain = torch.nn.Sequential(*stages)
    optimizer = torch.optim.SGD(chain.parameters(), lr=step_size)
    loss = ((chain(images) - images) ** 2).sum() / len(images)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


# %% gradients of others are added task="joint" right=false
def joint_step(stages, images, noisy, step_size):
    chain = torch.nn.Sequential(*stages)
    optimizer = torch.optim.SGD(chain.parameters(), lr=step_size)
    loss = ((chain(noisy) - images) ** 2).sum() / len(images)
    loss.backward()
    optimizer.step()
    return loss


# %% cleared too late task="joint" right=false
def joint_step(stages, images, noisy, step_size):
    chain = torch.nn.Sequential(*stages)
    optimizer = torch.optim.SGD(chain.parameters(), lr=step_size)
    loss = ((chain(noisy) - images) ** 2).sum() / len(images)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss


# %% cleared between gradient and step task="joint" right=false
def joint_step(stages, images, noisy, step_size):
    chain = torch.nn.Sequential(*stages)
    optimizer = torch.optim.SGD(chain.parameters(), lr=step_size)
    loss = ((chain(noisy) - images) ** 2).sum() / len(images)
    loss.backward()
    optimizer.zero_grad()
    optimizer.step()
    return loss


# %% mean over the pixels too task="joint" right=false
def joint_step(stages, images, noisy, step_size):
    chain = torch.nn.Sequential(*stages)
    optimizer = torch.optim.SGD(chain.parameters(), lr=step_size)
    loss = ((chain(noisy) - images) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


# %% sum over the images task="joint" right=false
def joint_step(stages, images, noisy, step_size):
    chain = torch.nn.Sequential(*stages)
    optimizer = torch.optim.SGD(chain.parameters(), lr=step_size)
    loss = ((chain(noisy) - images) ** 2).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


# %% the loss after the step task="joint" right=false
def joint_step(stages, images, noisy, step_size):
    chain = torch.nn.Sequential(*stages)
    optimizer = torch.optim.SGD(chain.parameters(), lr=step_size)
    optimizer.zero_grad()
    (((chain(noisy) - images) ** 2).sum() / len(images)).backward()
    optimizer.step()
    return ((chain(noisy) - images) ** 2).sum() / len(images)


# %% Adam task="joint" right=false
def joint_step(stages, images, noisy, step_size):
    chain = torch.nn.Sequential(*stages)
    optimizer = torch.optim.Adam(chain.parameters(), lr=step_size)
    loss = ((chain(noisy) - images) ** 2).sum() / len(images)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


# %% uphill task="joint" right=false
def joint_step(stages, images, noisy, step_size):
    chain = torch.nn.Sequential(*stages)
    optimizer = torch.optim.SGD(chain.parameters(), lr=step_size, maximize=True)
    loss = ((chain(noisy) - images) ** 2).sum() / len(images)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


# %% two steps task="joint" right=false
def joint_step(stages, images, noisy, step_size):
    chain = torch.nn.Sequential(*stages)
    optimizer = torch.optim.SGD(chain.parameters(), lr=step_size)
    losses = []
    for _ in range(2):
        loss = ((chain(noisy) - images) ** 2).sum() / len(images)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses[0]
