"""Checks for lesson 06: FGSM with labels given and predicted, in the grey and the white box, and towards a target."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from magnet_helpers.checks.feedback import Feedback, attempt, check, off, plainly
from magnet_helpers.seeds import global_numbers

_EPSILON = 0.2


def _network(seed: int) -> tuple[nn.Module, nn.Module, Tensor]:
    """Return a tiny reformer, a tiny classifier and images; the first pixel means nothing to either network."""
    with global_numbers(seed):
        first = nn.Linear(16, 8)
        reformer = nn.Sequential(
            nn.Flatten(), first, nn.Tanh(), nn.Linear(8, 16), nn.Sigmoid(), nn.Unflatten(1, (1, 4, 4))
        )
        second = nn.Linear(16, 12)
        classifier = nn.Sequential(nn.Flatten(), second, nn.Tanh(), nn.Linear(12, 10))
        with torch.no_grad():
            for parameter in (*reformer.parameters(), *classifier.parameters()):
                parameter.mul_(3)
            first.weight[:, 0] = 0
            second.weight[:, 0] = 0
        images = torch.rand(6, 1, 4, 4)
        images[:, :, 1] = torch.tensor([0.0, 1.0, 0.05, 0.95])
    return reformer, classifier, images


def _gradient(network: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor) -> Tensor:
    """Return ∂loss/∂x of each image, the loss summed over the images."""
    images = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(network(images), labels, reduction="sum"), images)
    return gradient


def _step(images: Tensor, gradient: Tensor) -> Tensor:
    return (images + _EPSILON * gradient.sign()).clamp(0, 1)


def _mistakes(network: nn.Module, images: Tensor, labels: Tensor) -> dict[str, object]:
    """Return hint → images for what goes wrong in every form of FGSM."""
    gradient = _gradient(network, images, labels)
    signs = gradient.sign()
    of_probabilities = _gradient(lambda x: network(x).softmax(dim=1), images, labels)
    with torch.enable_grad():
        x = images.clone().requires_grad_()
        (of_logit,) = torch.autograd.grad(network(x).gather(1, labels[:, None]).sum(), x)
    return {
        "the step goes downhill: it makes the loss smaller": (images - _EPSILON * signs).clamp(0, 1),
        "the gradient's own size decides here; in FGSM every pixel moves by ε": (images + _EPSILON * gradient).clamp(
            0, 1
        ),
        "the size of the mean loss's gradient decides here; in FGSM every pixel moves by ε": (
            images + _EPSILON * gradient / len(images)
        ).clamp(0, 1),
        "the result leaves the range of pixels": images + _EPSILON * signs,
        "the range of pixels is another one": (images + _EPSILON * signs).clamp(-1, 1),
        "this is the change; wanted is the changed image": _EPSILON * signs,
        "a pixel without influence has moved: what is the sign of 0?": (
            images + torch.where(gradient > 0, _EPSILON, -_EPSILON)
        ).clamp(0, 1),
        "a softmax comes before the loss; cross entropy wants the logits": _step(images, of_probabilities),
        "the gradient is that of one logit; wanted is that of the loss": _step(images, -of_logit),
    }


def _leaves_no_trace(
    attack: Callable[..., object], networks: Sequence[nn.Module], images: Tensor, *arguments: object
) -> Feedback:
    """Return whether networks and images are afterwards as they were, and the result is plain numbers."""
    parameters = [parameter for network in networks for parameter in network.parameters()]
    images = images.clone()
    answer = attempt(lambda: attack(*networks, images, *arguments))
    has_gradients = any(parameter.grad is not None for parameter in parameters)
    is_frozen = not all(parameter.requires_grad for parameter in parameters)
    if isinstance(answer, Feedback):
        return answer
    if has_gradients:
        return off(
            "the images are right, but gradients stay on the network's weights: a training would go on from them"
        )
    if is_frozen:
        return off("the images are right, but the network's weights take no gradients afterwards")
    if images.requires_grad:
        return off("the images are right, but those that came in require gradients afterwards")
    if isinstance(answer, Tensor) and answer.requires_grad:
        return off("the images are right, but they still hang on the computation that they came from")
    return Feedback(True, "nothing is left behind")


@plainly
def check_fgsm(fgsm: Callable[..., object]) -> Feedback:
    """Check `fgsm(network, images (N, 1, H, W), labels (N,), epsilon) → adversarial images`, a step on these labels.

    Network and images must be afterwards as they were.

    Assignment 06, "One step uphill".
    """
    _, network, images = _network(61)
    answers = network(images).argmax(dim=1)
    labels = (answers + torch.tensor([0, 1, 2, 3, 0, 5])) % 10
    mistakes = _mistakes(network, images, labels) | {
        "these are the network's own answers; here the labels are given": _step(
            images, _gradient(network, images, answers)
        )
    }
    right, success = _step(images, _gradient(network, images, labels)), "one step uphill, within ε and within [0, 1]"
    feedback = check(fgsm, [((network, images, labels, _EPSILON), right, mistakes)], success=success)
    feedback = feedback and _leaves_no_trace(fgsm, [network], images, labels, _EPSILON)
    return Feedback(True, success) if feedback else feedback


@plainly
def check_fgsm_predicted(fgsm_predicted: Callable[..., object]) -> Feedback:
    """Check `fgsm_predicted(network, images (N, 1, H, W), epsilon) → adversarial images`, on the network's own answers.

    Network and images must be afterwards as they were.

    Assignment 06, "Without the right labels".
    """
    _, network, images = _network(62)
    logits = network(images)
    answers, least = logits.argmax(dim=1), logits.argmin(dim=1)
    x = images.clone().requires_grad_()
    probabilities = network(x).softmax(dim=1)
    (moving,) = torch.autograd.grad(F.cross_entropy(network(x), probabilities, reduction="sum"), x)
    mistakes = _mistakes(network, images, answers) | {
        "the step goes away from the *least* likely answer": _step(images, _gradient(network, images, least)),
        "the label of an image is the largest logit of its own row": _step(
            images, _gradient(network, images, logits.argmax(dim=0)[: len(images)])
        ),
        "the target is the network's probabilities; wanted is its answer, one digit": _step(images, moving),
    }
    right, success = _step(images, _gradient(network, images, answers)), "one step away from the network's own answers"
    feedback = check(fgsm_predicted, [((network, images, _EPSILON), right, mistakes)], success=success)
    feedback = feedback and _leaves_no_trace(fgsm_predicted, [network], images, _EPSILON)
    return Feedback(True, success) if feedback else feedback


@plainly
def check_white_box_fgsm(white_box_fgsm: Callable[..., object]) -> Feedback:
    """Check `white_box_fgsm(reformer, classifier, images (N, 1, H, W), epsilon) → adversarial images`.

    One step on reformer and classifier as one network and on its own answers. Networks and images must be afterwards
    as they were.

    Assignment 06, "Find the bug".
    """
    reformer, classifier, images = _network(63)
    both = nn.Sequential(reformer, classifier)
    answers, of_classifier = both(images).argmax(dim=1), classifier(images).argmax(dim=1)
    reformed = reformer(images).detach()
    at_reformed = _gradient(classifier, reformed, answers)
    gradient = _gradient(both, images, answers)
    mistakes = _mistakes(both, images, answers) | {
        "this is the grey box: the attacker does not know the reformer": _step(
            images, _gradient(classifier, images, of_classifier)
        ),
        "the gradient still stops at the reformed image; how does that change with the image?": _step(
            images, at_reformed
        ),
        "step and gradient begin at the reformed image: the attacker changes what goes *into* the reformer": _step(
            reformed, at_reformed
        ),
        "the step begins at the reformed image: the attacker changes what goes *into* the reformer": _step(
            reformed, gradient
        ),
        "this is what the reformer makes of it; wanted is what the attacker hands in": reformer(
            _step(images, gradient)
        ),
        "the labels are the answers of the classifier alone; the attacked network has answers of its own": _step(
            images, _gradient(both, images, of_classifier)
        ),
    }
    right, success = _step(images, gradient), "the gradient goes through the reformer"
    feedback = check(white_box_fgsm, [((reformer, classifier, images, _EPSILON), right, mistakes)], success=success)
    feedback = feedback and _leaves_no_trace(white_box_fgsm, [reformer, classifier], images, _EPSILON)
    return Feedback(True, success) if feedback else feedback


@plainly
def check_targeted_step(targeted_step: Callable[..., object]) -> Feedback:
    """Check `targeted_step(network, images (N, 1, H, W), targets (N,), epsilon) → images`, one step towards a digit.

    x' = clip(x − ε·sign ∂L(x, target)/∂x, 0, 1): the targeted form of FGSM (Kurakin et al. 2017, "Adversarial Machine
    Learning at Scale", section 2.3).

    Lesson 06, "Try it", exercise 1.
    """
    _, network, images = _network(64)
    targets = (network(images).argmax(dim=1) + torch.tensor([1, 2, 3, 4, 5, 6])) % 10
    gradient = _gradient(network, images, targets)
    right = (images - _EPSILON * gradient.sign()).clamp(0, 1)
    own = _gradient(network, images, network(images).argmax(dim=1))
    mistakes = {
        "this step leads away from the target: its loss grows": _step(images, gradient),
        "this is FGSM on the network's own answers: the target is not used": _step(images, own),
        "the gradient's own size decides here; every pixel should move by ε": (images - _EPSILON * gradient).clamp(
            0, 1
        ),
        "the result leaves the range of pixels": images - _EPSILON * gradient.sign(),
    }
    return check(
        targeted_step,
        [((network, images, targets, _EPSILON), right, mistakes)],
        success="one step downhill on the target's loss, within ε and within [0, 1]",
    )
