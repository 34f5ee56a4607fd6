# What students might hand in for assignment 05. Each cell is one answer to one task: its header says what it does,
# which task it answers, and whether it deserves the marks.

# %% the Jacobian of each image, in a loop task="closed_form" right=true
import torch


def sigmoid_layer_penalty(codes, weight):
    norms = []
    for h in codes:
        jacobian = torch.diag(h * (1 - h)) @ weight
        norms.append(torch.linalg.matrix_norm(jacobian) ** 2)
    return torch.stack(norms)


# %% all Jacobians at once task="closed_form" right=true
import torch


def sigmoid_layer_penalty(codes, weight):
    jacobians = torch.einsum("nm,mi->nmi", codes - codes**2, weight)
    return (jacobians**2).sum(dim=(1, 2))


# %% slopes not squared task="closed_form" right=false
def sigmoid_layer_penalty(codes, weight):
    return (codes * (1 - codes)) @ weight.square().sum(dim=1)


# %% W not squared task="closed_form" right=false
def sigmoid_layer_penalty(codes, weight):
    return (codes * (1 - codes)).square() @ weight.sum(dim=1)


# %% W summed over the units task="closed_form" right=false
def sigmoid_layer_penalty(codes, weight):
    return (codes * (1 - codes)).square() @ weight.square().sum(dim=0)


# %% the code for its slope task="closed_form" right=false
def sigmoid_layer_penalty(codes, weight):
    return codes.square() @ weight.square().sum(dim=1)


# %% rows added up before squaring task="closed_form" right=false
def sigmoid_layer_penalty(codes, weight):
    return ((codes * (1 - codes)) @ weight).square().sum(dim=1)


# %% the norm, not its square task="closed_form" right=false
import torch


def sigmoid_layer_penalty(codes, weight):
    return torch.stack([((h * (1 - h))[:, None] * weight).norm() for h in codes])


# %% the sigmoid once more task="closed_form" right=false
import torch


def sigmoid_layer_penalty(codes, weight):
    h = torch.sigmoid(codes)
    return (h * (1 - h)).square() @ weight.square().sum(dim=1)


# %% one number for the batch task="closed_form" right=false
def sigmoid_layer_penalty(codes, weight):
    return ((codes * (1 - codes)).square() @ weight.square().sum(dim=1)).sum()


# %% the mean of the batch task="closed_form" right=false
def sigmoid_layer_penalty(codes, weight):
    return ((codes * (1 - codes)).square() @ weight.square().sum(dim=1)).mean()


# %% W is a constant task="closed_form" right=false
def sigmoid_layer_penalty(codes, weight):
    return (codes * (1 - codes)).square() @ weight.detach().square().sum(dim=1)


# %% the codes are constants task="closed_form" right=false
def sigmoid_layer_penalty(codes, weight):
    h = codes.data
    return (h * (1 - h)).square() @ weight.square().sum(dim=1)


# %% autograd.functional, with a graph task="projections" right=true
def penalty_by_projections(encoder, images, directions):
    squared = []
    for v in directions:
        _, products = torch.autograd.functional.jvp(encoder, images, v, create_graph=True)
        squared.append((products**2).sum(dim=-1))
    return torch.stack(squared).mean(dim=0)


# %% the whole Jacobian of each image task="projections" right=true
from torch.func import jacrev


def penalty_by_projections(encoder, images, directions):
    means = []
    for index, image in enumerate(images):
        jacobian = jacrev(lambda x: encoder(x[None])[0])(image).flatten(start_dim=1)
        products = directions[:, index].flatten(start_dim=1) @ jacobian.T
        means.append(products.square().sum() / len(directions))
    return torch.stack(means)


# %% vmap over the directions task="projections" right=true
from torch.func import jvp
from torch.func import vmap


def penalty_by_projections(encoder, images, directions):
    products = vmap(lambda v: jvp(encoder, (images,), (v,))[1])(directions)
    return products.pow(2).sum(2).mean(0)


# %% the sum over the directions task="projections" right=false
from torch.func import jvp


def penalty_by_projections(encoder, images, directions):
    return sum(jvp(encoder, (images,), (v,))[1].square().sum(dim=1) for v in directions)


# %% no graph task="projections" right=false
def penalty_by_projections(encoder, images, directions):
    products = [torch.autograd.functional.jvp(encoder, images, v)[1] for v in directions]
    return torch.stack(products).square().sum(dim=2).mean(dim=0)


# %% detached task="projections" right=false
from torch.func import jvp


def penalty_by_projections(encoder, images, directions):
    products = [jvp(encoder, (images,), (v,))[1].detach() for v in directions]
    return torch.stack(products).square().sum(dim=2).mean(dim=0)


# %% the mean before the square task="projections" right=false
from torch.func import jvp


def penalty_by_projections(encoder, images, directions):
    products = [jvp(encoder, (images,), (v,))[1] for v in directions]
    return torch.stack(products).mean(dim=0).square().sum(dim=1)


# %% the length, not its square task="projections" right=false
from torch.func import jvp


def penalty_by_projections(encoder, images, directions):
    products = [jvp(encoder, (images,), (v,))[1] for v in directions]
    return torch.stack(products).norm(dim=2).mean(dim=0)


# %% the mean over the units too task="projections" right=false
from torch.func import jvp


def penalty_by_projections(encoder, images, directions):
    products = [jvp(encoder, (images,), (v,))[1] for v in directions]
    return torch.stack(products).square().mean(dim=2).mean(dim=0)


# %% the gradient of the summed code task="projections" right=false
def penalty_by_projections(encoder, images, directions):
    x = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(encoder(x).sum(), x, create_graph=True)
    return (gradient * directions).flatten(start_dim=2).sum(dim=2).square().mean(dim=0)


# %% only the first direction task="projections" right=false
from torch.func import jvp


def penalty_by_projections(encoder, images, directions):
    return jvp(encoder, (images,), (directions[0],))[1].square().sum(dim=1)


# %% the mean over the images too task="projections" right=false
from torch.func import jvp


def penalty_by_projections(encoder, images, directions):
    products = [jvp(encoder, (images,), (v,))[1] for v in directions]
    return torch.stack(products).square().sum(dim=2).mean()


# %% the mean over the wrong dimension task="projections" right=false
from torch.func import jvp


def penalty_by_projections(encoder, images, directions):
    products = [jvp(encoder, (images,), (v,))[1] for v in directions]
    return torch.stack(products).square().sum(dim=2).mean(dim=1)


# %% directions of length 1 task="projections" right=false
from torch.func import jvp


def penalty_by_projections(encoder, images, directions):
    lengths = directions.flatten(start_dim=2).norm(dim=2)
    lengths = lengths.view(*lengths.shape, *[1] * (images.ndim - 1))
    products = [jvp(encoder, (images,), (v,))[1] for v in directions / lengths]
    return torch.stack(products).square().sum(dim=2).mean(dim=0)


# %% draws directions of its own task="projections" right=false
from torch.func import jvp


def penalty_by_projections(encoder, images, directions):
    drawn = [torch.randint_like(v, 0, 2) * 2 - 1 for v in directions]
    return sum(jvp(encoder, (images,), (v,))[1].square().sum(dim=1) for v in drawn) / len(drawn)


# %% the step is not differentiated but small, and without a graph task="projections" right=false
def penalty_by_projections(encoder, images, directions):
    with torch.no_grad():
        products = [(encoder(images + 1e-3 * v) - encoder(images - 1e-3 * v)) / 2e-3 for v in directions]
        return torch.stack(products).square().sum(dim=2).mean(dim=0)


# %% one direction for all images task="projections" right=false
from torch.func import jvp


def penalty_by_projections(encoder, images, directions):
    products = [jvp(encoder, (images,), (v[:1].expand_as(images).contiguous(),))[1] for v in directions]
    return torch.stack(products).square().sum(dim=2).mean(dim=0)


# %% by automatic differentiation task="mend" right=true
def contractive_loss(network, images, penalty_weight):
    jacobians = torch.func.vmap(torch.func.jacrev(network.encode))(images)
    reconstructions = network.decode(network.encode(images))
    error = torch.nn.functional.mse_loss(reconstructions, images, reduction="sum")
    return (error + penalty_weight * jacobians.pow(2).sum()) / len(images)


# %% a loop over the images task="mend" right=true
def contractive_loss(network, images, penalty_weight):
    total = 0
    for x in images:
        h = network.encode(x)
        jacobian = (h * (1 - h)).unsqueeze(1) * network.dense.weight
        total = total + ((x - network.decode(h)) ** 2).sum() + penalty_weight * (jacobian**2).sum()
    return total / images.shape[0]


# %% the copy is replaced by the live weight task="mend" right=true
def contractive_loss(network, images, penalty_weight):
    network.copied_weight = network.dense.weight
    codes = network.encode(images)
    error = (images - network.decode(codes)).square().mean() * images.shape[1]
    slopes = codes * (1 - codes)
    return error + penalty_weight * (slopes.square() @ network.copied_weight.square().sum(dim=1)).mean()


# %% nothing mended task="mend" right=false
def contractive_loss(network, images, penalty_weight):
    return published_loss(network, images, penalty_weight)


# %% only the error mended task="mend" right=false
def contractive_loss(network, images, penalty_weight):
    codes = network.encode(images)
    error = (images - network.decode(codes)).square().sum(dim=1)
    slopes = codes * (1 - codes)
    penalty = slopes.square() @ network.copied_weight.square().sum(dim=1)
    return (error + penalty_weight * penalty).mean()


# %% only the weights mended task="mend" right=false
def contractive_loss(network, images, penalty_weight):
    codes = network.encode(images)
    error = (images - network.decode(codes)).square().mean()
    slopes = codes * (1 - codes)
    penalty = slopes.square() @ network.dense.weight.square().sum(dim=1)
    return error + penalty_weight * penalty.mean()


# %% a fresh copy at each call is still a constant task="mend" right=false
def contractive_loss(network, images, penalty_weight):
    codes = network.encode(images)
    error = (images - network.decode(codes)).square().sum(dim=1)
    slopes = codes * (1 - codes)
    penalty = slopes.square() @ network.dense.weight.detach().square().sum(dim=1)
    return (error + penalty_weight * penalty).mean()


# %% the penalty without gradients task="mend" right=false
def contractive_loss(network, images, penalty_weight):
    codes = network.encode(images)
    error = (images - network.decode(codes)).square().sum(dim=1)
    with torch.no_grad():
        slopes = codes * (1 - codes)
        penalty = slopes.square() @ network.dense.weight.square().sum(dim=1)
    return (error + penalty_weight * penalty).mean()


# %% no penalty task="mend" right=false
def contractive_loss(network, images, penalty_weight):
    return (images - network.decode(network.encode(images))).square().sum(dim=1).mean()


# %% no λ task="mend" right=false
def contractive_loss(network, images, penalty_weight):
    codes = network.encode(images)
    error = (images - network.decode(codes)).square().sum(dim=1)
    slopes = codes * (1 - codes)
    return (error + slopes.square() @ network.dense.weight.square().sum(dim=1)).mean()


# %% λ before everything task="mend" right=false
def contractive_loss(network, images, penalty_weight):
    codes = network.encode(images)
    error = (images - network.decode(codes)).square().sum(dim=1)
    slopes = codes * (1 - codes)
    return penalty_weight * (error + slopes.square() @ network.dense.weight.square().sum(dim=1)).mean()


# %% the penalty summed over the images task="mend" right=false
def contractive_loss(network, images, penalty_weight):
    codes = network.encode(images)
    error = (images - network.decode(codes)).square().sum(dim=1).mean()
    slopes = codes * (1 - codes)
    return error + penalty_weight * (slopes.square() @ network.dense.weight.square().sum(dim=1)).sum()


# %% everything summed over the images task="mend" right=false
def contractive_loss(network, images, penalty_weight):
    codes = network.encode(images)
    error = (images - network.decode(codes)).square().sum()
    slopes = codes * (1 - codes)
    return error + penalty_weight * (slopes.square() @ network.dense.weight.square().sum(dim=1)).sum()


# %% one number for each image task="mend" right=false
def contractive_loss(network, images, penalty_weight):
    codes = network.encode(images)
    error = (images - network.decode(codes)).square().sum(dim=1)
    slopes = codes * (1 - codes)
    return error + penalty_weight * (slopes.square() @ network.dense.weight.square().sum(dim=1))


# %% a plain number task="mend" right=false
def contractive_loss(network, images, penalty_weight):
    codes = network.encode(images)
    error = (images - network.decode(codes)).square().sum(dim=1)
    slopes = codes * (1 - codes)
    return (error + penalty_weight * (slopes.square() @ network.dense.weight.square().sum(dim=1))).mean().item()
