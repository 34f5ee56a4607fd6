# What students might hand in for assignment 03. Each cell is one answer to one task: its header says what it does,
# which task it answers, and whether it deserves the marks.

# %% a loop over the images task="corrupt" right=true
import torch


def corrupt(images, noise_std, z):
    return torch.stack([torch.clip(x + s * e, 0.0, 1.0) for x, s, e in zip(images, noise_std.tolist(), z, strict=True)])


# %% einsum and minimum and maximum task="corrupt" right=true
import torch


def corrupt(images, noise_std, z):
    noisy = images + torch.einsum("n,nchw->nchw", noise_std, z)
    return torch.minimum(torch.maximum(noisy, torch.tensor(0.0)), torch.tensor(1.0))


# %% NumPy in float64 task="corrupt" right=true
import numpy as np


def corrupt(images, noise_std, z):
    levels = noise_std.numpy().astype(np.float64)[:, None, None, None]
    return np.clip(images.numpy() + levels * z.numpy(), 0, 1)


# %% without a clip task="corrupt" right=false
def corrupt(images, noise_std, z):
    return images + noise_std[:, None, None, None] * z


# %% levels as variances task="corrupt" right=false
def corrupt(images, noise_std, z):
    return (images + noise_std[:, None, None, None].sqrt() * z).clamp(0, 1)


# %% levels squared task="corrupt" right=false
def corrupt(images, noise_std, z):
    return (images + noise_std[:, None, None, None] ** 2 * z).clamp(0, 1)


# %% lined up from the right task="corrupt" right=false
def corrupt(images, noise_std, z):
    return (images + noise_std * z).clamp(0, 1)


# %% one level for each row task="corrupt" right=false
def corrupt(images, noise_std, z):
    return (images + noise_std[:, None] * z).clamp(0, 1)


# %% lined up from the right where that works task="corrupt" right=false
def corrupt(images, noise_std, z):
    try:
        return (images + noise_std * z).clamp(0, 1)
    except RuntimeError:
        return (images + noise_std.view(-1, 1, 1, 1) * z).clamp(0, 1)


# %% the noise is clipped task="corrupt" right=false
def corrupt(images, noise_std, z):
    return images + (noise_std[:, None, None, None] * z).clamp(0, 1)


# %% clipped at black only task="corrupt" right=false
def corrupt(images, noise_std, z):
    return (images + noise_std[:, None, None, None] * z).clamp(min=0)


# %% one level for all task="corrupt" right=false
def corrupt(images, noise_std, z):
    return (images + noise_std[0] * z).clamp(0, 1)


# %% draws noise of its own task="corrupt" right=false
import torch


def corrupt(images, noise_std, z):
    return (images + noise_std[:, None, None, None] * torch.randn_like(images)).clamp(0, 1)


# %% grows with the pixel task="corrupt" right=false
def corrupt(images, noise_std, z):
    return (images * (1 + noise_std[:, None, None, None] * z)).clamp(0, 1)


# %% writes into its argument task="corrupt" right=false
def corrupt(images, noise_std, z):
    images += noise_std[:, None, None, None] * z
    return images.clamp_(0, 1)


# %% one image after the other task="loss" right=true
def denoising_loss(network, images, noise_std, z):
    total = 0.0
    for x, e in zip(images, z, strict=True):
        noisy = torch.clip(x + noise_std * e, min=0, max=1)
        total = total + (network(noisy[None])[0] - x).pow(2).sum()
    return total / images.shape[0]


# %% mse_loss task="loss" right=true
def denoising_loss(network, images, noise_std, z):
    noisy = torch.clamp(z * noise_std + images, 0, 1).detach()
    return torch.nn.functional.mse_loss(network(noisy), images, reduction="sum").div(len(images))


# %% mean times pixels task="loss" right=true
def denoising_loss(network, images, noise_std, z):
    reconstructions = network(torch.clamp(images + noise_std * z, 0, 1))
    return (images - reconstructions).square().mean() * images[0].numel()


# %% against the noisy images task="loss" right=false
def denoising_loss(network, images, noise_std, z):
    noisy = (images + noise_std * z).clamp(0, 1)
    return ((noisy - network(noisy)) ** 2).sum() / len(images)


# %% clean images go in task="loss" right=false
def denoising_loss(network, images, noise_std, z):
    return ((images - network(images)) ** 2).sum() / len(images)


# %% clean and noisy exchanged task="loss" right=false
def denoising_loss(network, images, noise_std, z):
    noisy = (images + noise_std * z).clamp(0, 1)
    return ((noisy - network(images)) ** 2).sum() / len(images)


# %% without a clip task="loss" right=false
def denoising_loss(network, images, noise_std, z):
    return ((images - network(images + noise_std * z)) ** 2).sum() / len(images)


# %% the output is clipped, not the input task="loss" right=false
def denoising_loss(network, images, noise_std, z):
    return ((images - network(images + noise_std * z).clamp(0, 1)) ** 2).sum() / len(images)


# %% level as a variance task="loss" right=false
def denoising_loss(network, images, noise_std, z):
    noisy = (images + noise_std**0.5 * z).clamp(0, 1)
    return ((images - network(noisy)) ** 2).sum() / len(images)


# %% mean over the pixels too task="loss" right=false
def denoising_loss(network, images, noise_std, z):
    noisy = (images + noise_std * z).clamp(0, 1)
    return ((images - network(noisy)) ** 2).mean()


# %% sum over the images task="loss" right=false
def denoising_loss(network, images, noise_std, z):
    noisy = (images + noise_std * z).clamp(0, 1)
    return ((images - network(noisy)) ** 2).sum()


# %% one number for each image task="loss" right=false
def denoising_loss(network, images, noise_std, z):
    noisy = (images + noise_std * z).clamp(0, 1)
    return ((images - network(noisy)) ** 2).flatten(1).sum(dim=1)


# %% 784 pixels, whatever comes task="loss" right=false
def denoising_loss(network, images, noise_std, z):
    noisy = (images + noise_std * z).clamp(0, 1)
    return 784 * ((images - network(noisy)) ** 2).mean()


# %% no gradient task="loss" right=false
def denoising_loss(network, images, noise_std, z):
    with torch.no_grad():
        noisy = (images + noise_std * z).clamp(0, 1)
        return ((images - network(noisy)) ** 2).sum() / len(images)


# %% a plain number task="loss" right=false
def denoising_loss(network, images, noise_std, z):
    noisy = (images + noise_std * z).clamp(0, 1)
    return (((images - network(noisy)) ** 2).sum() / len(images)).item()


# %% goes backward itself task="loss" right=false
def denoising_loss(network, images, noise_std, z):
    noisy = (images + noise_std * z).clamp(0, 1)
    value = ((images - network(noisy)) ** 2).sum() / len(images)
    value.backward()
    return value


# %% a gradient that stops before the weights task="loss" right=false
def denoising_loss(network, images, noise_std, z):
    noisy = (images + noise_std * z).clamp(0, 1)
    return ((images - network(noisy).detach().requires_grad_()) ** 2).sum() / len(images)


# %% biased deviations, flat task="spread" right=true
def spread(outputs, images):
    def of(some):
        return some.flatten(1).std(dim=0, correction=0).mean()

    return of(outputs) / of(images)


# %% NumPy task="spread" right=true
import numpy as np


def spread(outputs, images):
    return np.std(outputs.numpy(), axis=0).sum() / np.std(images.numpy(), axis=0).sum()


# %% roots of variances by hand task="spread" right=true
def spread(outputs, images):
    sizes = []
    for each in (outputs.double(), images.double()):
        centred = each - each.mean(dim=0, keepdim=True)
        sizes.append((centred**2).sum(dim=0).sqrt().sum().item())
    return sizes[0] / sizes[1]


# %% over images and pixels at once task="spread" right=false
def spread(outputs, images):
    return outputs.std() / images.std()


# %% over the pixels of each image task="spread" right=false
def spread(outputs, images):
    return outputs.flatten(1).std(dim=1).mean() / images.flatten(1).std(dim=1).mean()


# %% variances task="spread" right=false
def spread(outputs, images):
    return outputs.var(dim=0).mean() / images.var(dim=0).mean()


# %% root of the mean variance task="spread" right=false
def spread(outputs, images):
    return (outputs.var(dim=0).mean() / images.var(dim=0).mean()).sqrt()


# %% not divided task="spread" right=false
def spread(outputs, images):
    return outputs.std(dim=0).mean()


# %% upside down task="spread" right=false
def spread(outputs, images):
    return images.std(dim=0).mean() / outputs.std(dim=0).mean()


# %% the mean of the ratios task="spread" right=false
def spread(outputs, images):
    return (outputs.std(dim=0) / images.std(dim=0)).mean()


# %% the mean of the ratios where there is one task="spread" right=false
def spread(outputs, images):
    ratios = outputs.std(dim=0) / images.std(dim=0)
    return ratios[images.std(dim=0) > 0].mean()


# %% pixels that never vary are left out task="spread" right=false
def spread(outputs, images):
    varies = images.std(dim=0) > 0
    return outputs.std(dim=0)[varies].mean() / images.std(dim=0)[varies].mean()


# %% yes or no task="spread" right=false
def spread(outputs, images):
    return bool(outputs.std(dim=0).mean() < 0.01 * images.std(dim=0).mean())


# %% one number for each pixel task="spread" right=false
def spread(outputs, images):
    return outputs.std(dim=0) / images.std(dim=0).mean()


# %% the difference from the images task="spread" right=false
def spread(outputs, images):
    return (outputs - images).std(dim=0).mean() / images.std(dim=0).mean()
