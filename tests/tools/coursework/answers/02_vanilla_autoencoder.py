# What students might hand in for assignment 02. Each cell is one answer to one task: its header says what it does,
# which task it answers, and whether it deserves the marks.

# %% flatten and norm task="error" right=true
import torch


def reconstruction_error(images, reconstructions):
    if images.shape != reconstructions.shape:
        raise ValueError("shapes differ")
    return torch.linalg.vector_norm((reconstructions - images).flatten(1), dim=1) ** 2


# %% a loop over the images task="error" right=true
import torch


def reconstruction_error(images, reconstructions):
    if list(images.size()) != list(reconstructions.size()):
        raise ValueError(f"got {images.size()} and {reconstructions.size()}")
    return torch.stack(
        [torch.nn.functional.mse_loss(b, a, reduction="sum") for a, b in zip(images, reconstructions, strict=True)]
    )


# %% einsum task="error" right=true
import torch


def reconstruction_error(images, reconstructions):
    if images.ndim != reconstructions.ndim or images.shape != reconstructions.shape:
        raise ValueError("expected images of one shape")
    d = images - reconstructions
    return torch.einsum("nchw,nchw->n", d, d)


# %% broadcasts task="error" right=false
def reconstruction_error(images, reconstructions):
    return ((images - reconstructions) ** 2).sum(dim=(1, 2, 3))


# %% compares the numbers of images only task="error" right=false
def reconstruction_error(images, reconstructions):
    if len(images) != len(reconstructions):
        raise ValueError("another number of images")
    return ((images - reconstructions) ** 2).flatten(1).sum(dim=1)


# %% compares the sizes of the images only task="error" right=false
def reconstruction_error(images, reconstructions):
    if images.shape[1:] != reconstructions.shape[1:]:
        raise ValueError("images of another size")
    return ((images - reconstructions) ** 2).flatten(1).sum(dim=1)


# %% compares the numbers of pixels only task="error" right=false
def reconstruction_error(images, reconstructions):
    if images.numel() != reconstructions.numel():
        raise ValueError("other sizes")
    return ((images - reconstructions.view_as(images)) ** 2).flatten(1).sum(dim=1)


# %% an assertion instead of a ValueError task="error" right=false
def reconstruction_error(images, reconstructions):
    assert images.shape == reconstructions.shape
    return ((images - reconstructions) ** 2).flatten(1).sum(dim=1)


# %% mean over the pixels task="error" right=false
def reconstruction_error(images, reconstructions):
    if images.shape != reconstructions.shape:
        raise ValueError("shapes differ")
    return ((images - reconstructions) ** 2).mean(dim=(1, 2, 3))


# %% mean over the images task="error" right=false
def reconstruction_error(images, reconstructions):
    if images.shape != reconstructions.shape:
        raise ValueError("shapes differ")
    return ((images - reconstructions) ** 2).sum() / len(images)


# %% one number for all images task="error" right=false
def reconstruction_error(images, reconstructions):
    if images.shape != reconstructions.shape:
        raise ValueError("shapes differ")
    return ((images - reconstructions) ** 2).sum()


# %% the length, not its square task="error" right=false
def reconstruction_error(images, reconstructions):
    if images.shape != reconstructions.shape:
        raise ValueError("shapes differ")
    return (images - reconstructions).flatten(1).norm(dim=1)


# %% not squared task="error" right=false
def reconstruction_error(images, reconstructions):
    if images.shape != reconstructions.shape:
        raise ValueError("shapes differ")
    return (images - reconstructions).abs().flatten(1).sum(dim=1)


# %% squared too late task="error" right=false
def reconstruction_error(images, reconstructions):
    if images.shape != reconstructions.shape:
        raise ValueError("shapes differ")
    return (images - reconstructions).flatten(1).sum(dim=1) ** 2


# %% gradient cut task="error" right=false
import torch


def reconstruction_error(images, reconstructions):
    if images.shape != reconstructions.shape:
        raise ValueError("shapes differ")
    return torch.tensor([((a - b) ** 2).sum().item() for a, b in zip(images, reconstructions, strict=True)])


# %% writes into its argument task="error" right=false
def reconstruction_error(images, reconstructions):
    if images.shape != reconstructions.shape:
        raise ValueError("shapes differ")
    images -= reconstructions
    return (images**2).flatten(1).sum(dim=1)


# %% with if and indices task="size" right=true
def encoder_size(layers, side):
    height, depth, total, flat = side, 1, 0, False
    for layer in layers:
        incoming = depth if flat else depth * height * height
        if layer[0] == "conv":
            total += layer[1] * (depth * layer[2] * layer[2] + 1)
            depth = layer[1]
        if layer[0] == "pool":
            height = (height - height % layer[1]) // layer[1]
        if layer[0] == "dense":
            total += (incoming + 1) * layer[1]
            depth, flat = layer[1], True
    return [total, depth if flat else depth * height**2]


# %% with match task="size" right=true
def encoder_size(layers, side):
    shape, sizes = (1, side, side), []
    for layer in layers:
        match layer:
            case ("conv", filters, k):
                sizes.append(filters * shape[0] * k * k + filters)
                shape = (filters, shape[1], shape[2])
            case ("pool", k):
                shape = (shape[0], shape[1] // k, shape[2] // k)
            case ("dense", units):
                sizes.append(units * shape[0] * shape[1] * shape[2] + units)
                shape = (units, 1, 1)
    return sum(sizes), shape[0] * shape[1] * shape[2]


# %% no biases task="size" right=false
def encoder_size(layers, side):
    channels, weights = 1, 0
    for layer in layers:
        if layer[0] == "conv":
            weights += layer[1] * channels * layer[2] ** 2
            channels = layer[1]
        elif layer[0] == "pool":
            side //= layer[1]
        else:
            weights += channels * side**2 * layer[1]
            channels, side = layer[1], 1
    return weights, channels * side**2


# %% each filter looks at one channel task="size" right=false
def encoder_size(layers, side):
    channels, weights = 1, 0
    for layer in layers:
        if layer[0] == "conv":
            weights += layer[1] * layer[2] ** 2 + layer[1]
            channels = layer[1]
        elif layer[0] == "pool":
            side //= layer[1]
        else:
            weights += channels * side**2 * layer[1] + layer[1]
            channels, side = layer[1], 1
    return weights, channels * side**2


# %% one map of the code, as the paper's text counts task="size" right=false
def encoder_size(layers, side):
    channels, weights, maps = 1, 0, True
    for layer in layers:
        if layer[0] == "conv":
            weights += layer[1] * channels * layer[2] ** 2 + layer[1]
            channels = layer[1]
        elif layer[0] == "pool":
            side //= layer[1]
        else:
            weights += channels * side**2 * layer[1] + layer[1]
            channels, side, maps = layer[1], 1, False
    return weights, side**2 if maps else channels


# %% pooling makes nothing smaller task="size" right=false
def encoder_size(layers, side):
    channels, weights = 1, 0
    for layer in layers:
        if layer[0] == "conv":
            weights += layer[1] * channels * layer[2] ** 2 + layer[1]
            channels = layer[1]
        elif layer[0] == "dense":
            weights += channels * side**2 * layer[1] + layer[1]
            channels, side = layer[1], 1
    return weights, channels * side**2


# %% one side only is pooled task="size" right=false
def encoder_size(layers, side):
    channels, weights, pixels = 1, 0, side**2
    for layer in layers:
        if layer[0] == "conv":
            weights += layer[1] * channels * layer[2] ** 2 + layer[1]
            channels = layer[1]
        elif layer[0] == "pool":
            pixels //= layer[1]
        else:
            weights += channels * pixels * layer[1] + layer[1]
            channels, pixels = layer[1], 1
    return weights, channels * pixels


# %% a remainder is kept task="size" right=false
def encoder_size(layers, side):
    channels, weights = 1, 0
    for layer in layers:
        if layer[0] == "conv":
            weights += layer[1] * channels * layer[2] ** 2 + layer[1]
            channels = layer[1]
        elif layer[0] == "pool":
            side = -(-side // layer[1])
        else:
            weights += channels * side**2 * layer[1] + layer[1]
            channels, side = layer[1], 1
    return weights, channels * side**2


# %% dense layers forget the channels task="size" right=false
def encoder_size(layers, side):
    channels, weights = 1, 0
    for layer in layers:
        if layer[0] == "conv":
            weights += layer[1] * channels * layer[2] ** 2 + layer[1]
            channels = layer[1]
        elif layer[0] == "pool":
            side //= layer[1]
        else:
            weights += side**2 * layer[1] + layer[1]
            channels, side = layer[1], 1
    return weights, channels * side**2


# %% the two numbers exchanged task="size" right=false
def encoder_size(layers, side):
    channels, weights = 1, 0
    for layer in layers:
        if layer[0] == "conv":
            weights += layer[1] * channels * layer[2] ** 2 + layer[1]
            channels = layer[1]
        elif layer[0] == "pool":
            side //= layer[1]
        else:
            weights += channels * side**2 * layer[1] + layer[1]
            channels, side = layer[1], 1
    return channels * side**2, weights


# %% only Table 1 task="size" right=false
def encoder_size(layers, side):
    return 9568, 1568


# %% eigenvectors of the covariance task="linear" right=true
import numpy as np


def linear_reconstructions(train, images, k):
    rows = train.numpy().reshape(len(train), -1).astype(np.float64)
    mean = rows.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(rows.T))
    best = vectors[:, np.argsort(values)[::-1][:k]]
    coded = (images.numpy().reshape(len(images), -1) - mean) @ best
    return (coded @ best.T + mean).reshape(images.shape)


# %% eigenvectors in float32 task="linear" right=true
def linear_reconstructions(train, images, k):
    rows = train.flatten(1)
    mean = rows.mean(dim=0, keepdim=True)
    _, vectors = torch.linalg.eigh((rows - mean).T @ (rows - mean))
    best = vectors[:, -k:]
    return (mean + (images.flatten(1) - mean) @ best @ best.T).reshape(images.shape)


# %% left singular vectors of the transposed matrix task="linear" right=true
def linear_reconstructions(train, images, k):
    mean = train.mean(0, keepdim=True)
    u, _, _ = torch.svd((train - mean).reshape(len(train), -1).t())
    p = u[:, :k] @ u[:, :k].t()
    return mean + ((images - mean).reshape(len(images), -1) @ p).reshape(images.shape)


# %% one image at a time task="linear" right=true
def linear_reconstructions(train, images, k):
    mean = train.mean(dim=0)
    rows = torch.linalg.svd((train - mean).flatten(1).double(), full_matrices=True)[2][:k]
    results = []
    for image in images:
        result = mean.clone().double()
        for row in rows:
            result += (row @ (image - mean).double().flatten()) * row.view_as(image)
        results.append(result.float())
    return torch.stack(results)


# %% no mean task="linear" right=false
def linear_reconstructions(train, images, k):
    rows = torch.linalg.svd(train.flatten(1), full_matrices=False)[2][:k]
    return (images.flatten(1) @ rows.T @ rows).view_as(images)


# %% the mean not put back task="linear" right=false
def linear_reconstructions(train, images, k):
    mean = train.mean(dim=0)
    rows = torch.linalg.svd((train - mean).flatten(1), full_matrices=False)[2][:k]
    return ((images - mean).flatten(1) @ rows.T @ rows).view_as(images)


# %% the mean of the images to be reconstructed task="linear" right=false
def linear_reconstructions(train, images, k):
    rows = torch.linalg.svd((train - train.mean(dim=0)).flatten(1), full_matrices=False)[2][:k]
    mean = images.mean(dim=0)
    return ((images - mean).flatten(1) @ rows.T @ rows).view_as(images) + mean


# %% fitted to the images themselves task="linear" right=false
def linear_reconstructions(train, images, k):
    mean = images.mean(dim=0)
    rows = torch.linalg.svd((images - mean).flatten(1), full_matrices=False)[2][:k]
    return ((images - mean).flatten(1) @ rows.T @ rows).view_as(images) + mean


# %% one mean for all pixels task="linear" right=false
def linear_reconstructions(train, images, k):
    mean = train.mean()
    rows = torch.linalg.svd((train - mean).flatten(1), full_matrices=False)[2][:k]
    return ((images - mean).flatten(1) @ rows.T @ rows).view_as(images) + mean


# %% the smallest eigenvalues task="linear" right=false
def linear_reconstructions(train, images, k):
    mean = train.mean(dim=0)
    rows = (train - mean).flatten(1)
    best = torch.linalg.eigh(rows.T @ rows)[1][:, :k]
    return ((images - mean).flatten(1) @ best @ best.T).view_as(images) + mean


# %% one direction too few task="linear" right=false
def linear_reconstructions(train, images, k):
    mean = train.mean(dim=0)
    rows = torch.linalg.svd((train - mean).flatten(1), full_matrices=False)[2][: k - 1]
    return ((images - mean).flatten(1) @ rows.T @ rows).view_as(images) + mean


# %% one direction too many task="linear" right=false
def linear_reconstructions(train, images, k):
    mean = train.mean(dim=0)
    rows = torch.linalg.svd((train - mean).flatten(1), full_matrices=False)[2][: k + 1]
    return ((images - mean).flatten(1) @ rows.T @ rows).view_as(images) + mean


# %% columns of the wrong factor task="linear" right=false
def linear_reconstructions(train, images, k):
    mean = train.mean(dim=0)
    rows = torch.linalg.svd((train - mean).flatten(1), full_matrices=False)[2][:, :k]
    return ((images - mean).flatten(1) @ rows @ rows.T).view_as(images) + mean


# %% the codes task="linear" right=false
def linear_reconstructions(train, images, k):
    mean = train.mean(dim=0)
    rows = torch.linalg.svd((train - mean).flatten(1), full_matrices=False)[2][:k]
    return (images - mean).flatten(1) @ rows.T


# %% flat task="linear" right=false
def linear_reconstructions(train, images, k):
    mean = train.mean(dim=0)
    rows = torch.linalg.svd((train - mean).flatten(1), full_matrices=False)[2][:k]
    return (images - mean).flatten(1) @ rows.T @ rows + mean.flatten()


# %% clipped task="linear" right=false
def linear_reconstructions(train, images, k):
    mean = train.mean(dim=0)
    rows = torch.linalg.svd((train - mean).flatten(1), full_matrices=False)[2][:k]
    return (((images - mean).flatten(1) @ rows.T @ rows).view_as(images) + mean).clamp(0, 1)


# %% always 784 pixels task="linear" right=false
def linear_reconstructions(train, images, k):
    mean = train.view(-1, 784).mean(dim=0)
    rows = torch.linalg.svd(train.view(-1, 784) - mean, full_matrices=False)[2][:k]
    return ((images.view(-1, 784) - mean) @ rows.T @ rows + mean).view(-1, 1, 28, 28)


# %% each pixel divided by its spread task="linear" right=false
def linear_reconstructions(train, images, k):
    mean, spread = train.mean(dim=0), train.std(dim=0)
    rows = torch.linalg.svd(((train - mean) / spread).flatten(1), full_matrices=False)[2][:k]
    return (((images - mean) / spread).flatten(1) @ rows.T @ rows).view_as(images) * spread + mean
