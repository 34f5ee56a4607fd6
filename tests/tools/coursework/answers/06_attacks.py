# What students might hand in for assignment 06. Each cell is one answer to one task: its header says what it does,
# which task it answers, and whether it deserves the marks.

# %% backward on a detached copy, gradients removed task="fgsm" right=true
import torch
from torch.nn import functional as F


def fgsm(network, images, labels, epsilon):
    x = images.detach().clone()
    x.requires_grad = True
    F.cross_entropy(network(x), labels).backward()
    network.zero_grad()
    return torch.clamp(x.detach() + epsilon * torch.sign(x.grad), min=0.0, max=1.0)


# %% torch.func, cross entropy written out task="fgsm" right=true
import torch


def fgsm(network, images, labels, epsilon):
    def loss(x):
        logits = network(x)
        return (logits.logsumexp(dim=1) - logits[torch.arange(len(x)), labels]).sum()

    return (images + epsilon * torch.func.grad(loss)(images).sign()).detach().clip(0, 1)


# %% image after image task="fgsm" right=true
import torch


def fgsm(network, images, labels, epsilon):
    adversarial = []
    for image, label in zip(images, labels, strict=True):
        x = image[None].clone().requires_grad_()
        loss = -network(x).log_softmax(dim=1)[0, label]
        adversarial.append((image + epsilon * torch.autograd.grad(loss, x)[0][0].sign()).clamp(0, 1))
    return torch.stack(adversarial)


# %% downhill task="fgsm" right=false
import torch
from torch.nn import functional as F


def fgsm(network, images, labels, epsilon):
    x = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(network(x), labels), x)
    return (images - epsilon * gradient.sign()).clamp(0, 1)


# %% no sign task="fgsm" right=false
import torch
from torch.nn import functional as F


def fgsm(network, images, labels, epsilon):
    x = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(network(x), labels, reduction="sum"), x)
    return (images + epsilon * gradient).clamp(0, 1)


# %% no sign, mean loss task="fgsm" right=false
import torch
from torch.nn import functional as F


def fgsm(network, images, labels, epsilon):
    x = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(network(x), labels), x)
    return (images + epsilon * gradient).clamp(0, 1)


# %% no clip task="fgsm" right=false
import torch
from torch.nn import functional as F


def fgsm(network, images, labels, epsilon):
    x = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(network(x), labels), x)
    return images + epsilon * gradient.sign()


# %% clipped to [−1, 1] task="fgsm" right=false
import torch
from torch.nn import functional as F


def fgsm(network, images, labels, epsilon):
    x = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(network(x), labels), x)
    return (images + epsilon * gradient.sign()).clamp(-1, 1)


# %% the change alone task="fgsm" right=false
import torch
from torch.nn import functional as F


def fgsm(network, images, labels, epsilon):
    x = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(network(x), labels), x)
    return epsilon * gradient.sign()


# %% plus or minus, never nothing task="fgsm" right=false
import torch
from torch.nn import functional as F


def fgsm(network, images, labels, epsilon):
    x = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(network(x), labels), x)
    return (images + torch.where(gradient > 0, epsilon, -epsilon)).clamp(0, 1)


# %% softmax before cross entropy task="fgsm" right=false
import torch
from torch.nn import functional as F


def fgsm(network, images, labels, epsilon):
    x = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(network(x).softmax(dim=1), labels), x)
    return (images + epsilon * gradient.sign()).clamp(0, 1)


# %% the gradient of the label's logit task="fgsm" right=false
import torch


def fgsm(network, images, labels, epsilon):
    x = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(network(x)[torch.arange(len(x)), labels].sum(), x)
    return (images - epsilon * gradient.sign()).clamp(0, 1)


# %% the network's own answers for the labels task="fgsm" right=false
import torch
from torch.nn import functional as F


def fgsm(network, images, labels, epsilon):
    x = images.clone().requires_grad_()
    logits = network(x)
    (gradient,) = torch.autograd.grad(F.cross_entropy(logits, logits.argmax(dim=1)), x)
    return (images + epsilon * gradient.sign()).clamp(0, 1)


# %% changes the images in place task="fgsm" right=false
import torch
from torch.nn import functional as F


def fgsm(network, images, labels, epsilon):
    x = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(network(x), labels), x)
    images += epsilon * gradient.sign()
    return images.clamp_(0, 1)


# %% gradients stay on the weights task="fgsm" right=false
from torch.nn import functional as F


def fgsm(network, images, labels, epsilon):
    x = images.clone().requires_grad_()
    F.cross_entropy(network(x), labels).backward()
    return (images + epsilon * x.grad.sign()).clamp(0, 1)


# %% the given images require gradients task="fgsm" right=false
import torch
from torch.nn import functional as F


def fgsm(network, images, labels, epsilon):
    images.requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(network(images), labels), images)
    return (images + epsilon * gradient.sign()).clamp(0, 1).detach()


# %% the result hangs on the graph task="fgsm" right=false
import torch
from torch.nn import functional as F


def fgsm(network, images, labels, epsilon):
    x = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(network(x), labels), x)
    return (x + epsilon * gradient.sign()).clamp(0, 1)


# %% the network is frozen task="fgsm" right=false
from torch.nn import functional as F


def fgsm(network, images, labels, epsilon):
    network.requires_grad_(False)
    x = images.clone().requires_grad_()
    F.cross_entropy(network(x), labels).backward()
    return (images + epsilon * x.grad.sign()).clamp(0, 1)


# %% by the function above task="predicted" right=true
def fgsm_predicted(network, images, epsilon):
    return fgsm(network, images, network(images).argmax(dim=1), epsilon)


# %% the largest log-probability task="predicted" right=true
def fgsm_predicted(network, images, epsilon):
    x = images.detach().clone().requires_grad_(True)
    loss = -network(x).log_softmax(dim=-1).max(dim=-1).values.mean()
    direction = torch.autograd.grad(loss, [x])[0].sign()
    return torch.min(torch.max(images + epsilon * direction, torch.zeros_like(images)), torch.ones_like(images))


# %% towards the own answer task="predicted" right=false
def fgsm_predicted(network, images, epsilon):
    x = images.clone().requires_grad_()
    logits = network(x)
    (gradient,) = torch.autograd.grad(F.cross_entropy(logits, logits.argmax(dim=1)), x)
    return (images - epsilon * gradient.sign()).clamp(0, 1)


# %% the least likely digit task="predicted" right=false
def fgsm_predicted(network, images, epsilon):
    return fgsm(network, images, network(images).argmin(dim=1), epsilon)


# %% argmax over the images task="predicted" right=false
def fgsm_predicted(network, images, epsilon):
    return fgsm(network, images, network(images).argmax(dim=0)[: len(images)], epsilon)


# %% probabilities for labels task="predicted" right=false
def fgsm_predicted(network, images, epsilon):
    x = images.clone().requires_grad_()
    logits = network(x)
    (gradient,) = torch.autograd.grad(F.cross_entropy(logits, logits.softmax(dim=1)), x)
    return (images + epsilon * gradient.sign()).clamp(0, 1)


# %% the gradient of the largest logit task="predicted" right=false
def fgsm_predicted(network, images, epsilon):
    x = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(network(x).max(dim=1).values.sum(), x)
    return (images - epsilon * gradient.sign()).clamp(0, 1)


# %% no clip task="predicted" right=false
def fgsm_predicted(network, images, epsilon):
    x = images.clone().requires_grad_()
    logits = network(x)
    (gradient,) = torch.autograd.grad(F.cross_entropy(logits, logits.argmax(dim=1)), x)
    return images + epsilon * gradient.sign()


# %% gradients stay on the weights task="predicted" right=false
def fgsm_predicted(network, images, epsilon):
    x = images.clone().requires_grad_()
    logits = network(x)
    F.cross_entropy(logits, logits.argmax(dim=1)).backward()
    return (images + epsilon * x.grad.sign()).clamp(0, 1)


# %% both as one module task="white_box" right=true
def white_box_fgsm(reformer, classifier, images, epsilon):
    return fgsm_predicted(torch.nn.Sequential(reformer, classifier), images, epsilon)


# %% the chain rule, by hand task="white_box" right=true
def white_box_fgsm(reformer, classifier, images, epsilon):
    x = images.detach().clone().requires_grad_()
    reformed = reformer(x)
    z = reformed.detach().requires_grad_()
    logits = classifier(z)
    (slopes,) = torch.autograd.grad(F.cross_entropy(logits, logits.argmax(dim=1), reduction="sum"), z)
    (gradient,) = torch.autograd.grad(reformed, x, grad_outputs=slopes)
    return torch.clip(images + epsilon * torch.sign(gradient), 0, 1)


# %% the code as it was task="white_box" right=false
def white_box_fgsm(reformer, classifier, images, epsilon):
    return so_called_white_box(reformer, classifier, images, epsilon)


# %% the grey box task="white_box" right=false
def white_box_fgsm(reformer, classifier, images, epsilon):
    return fgsm_predicted(classifier, images, epsilon)


# %% begins at the reformed image task="white_box" right=false
def white_box_fgsm(reformer, classifier, images, epsilon):
    return fgsm_predicted(classifier, reformer(images).detach(), epsilon)


# %% the right gradient, added to the reformed image task="white_box" right=false
def white_box_fgsm(reformer, classifier, images, epsilon):
    x = images.clone().requires_grad_()
    reformed = reformer(x)
    logits = classifier(reformed)
    (gradient,) = torch.autograd.grad(F.cross_entropy(logits, logits.argmax(dim=1)), x)
    return (reformed.detach() + epsilon * gradient.sign()).clamp(0, 1)


# %% labels of the classifier alone task="white_box" right=false
def white_box_fgsm(reformer, classifier, images, epsilon):
    both = torch.nn.Sequential(reformer, classifier)
    return fgsm(both, images, classifier(images).argmax(dim=1), epsilon)


# %% downhill task="white_box" right=false
def white_box_fgsm(reformer, classifier, images, epsilon):
    x = images.clone().requires_grad_()
    logits = classifier(reformer(x))
    (gradient,) = torch.autograd.grad(F.cross_entropy(logits, logits.argmax(dim=1)), x)
    return (images - epsilon * gradient.sign()).clamp(0, 1)


# %% no clip task="white_box" right=false
def white_box_fgsm(reformer, classifier, images, epsilon):
    x = images.clone().requires_grad_()
    logits = classifier(reformer(x))
    (gradient,) = torch.autograd.grad(F.cross_entropy(logits, logits.argmax(dim=1)), x)
    return images + epsilon * gradient.sign()


# %% the reformed adversarial image task="white_box" right=false
def white_box_fgsm(reformer, classifier, images, epsilon):
    adversarial = fgsm_predicted(torch.nn.Sequential(reformer, classifier), images, epsilon)
    return reformer(adversarial).detach()


# %% gradients stay on the reformer's weights task="white_box" right=false
def white_box_fgsm(reformer, classifier, images, epsilon):
    x = images.clone().requires_grad_()
    logits = classifier(reformer(x))
    F.cross_entropy(logits, logits.argmax(dim=1)).backward()
    classifier.zero_grad()
    return (images + epsilon * x.grad.sign()).clamp(0, 1)
