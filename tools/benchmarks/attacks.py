"""Attacks on reformer and classifier together, images per second: ours beside three libraries, used as documented.

All get the same model and the same labels, the model's own answers, and start from the image itself. That they make the
same images is counted, not assumed: rounding turns the sign of a gradient that is nearly zero, and many steps carry a
turned sign on.
"""

import statistics
import time
from collections.abc import Callable

import foolbox
import numpy as np
import torch
from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescent
from art.estimators.classification import PyTorchClassifier
from torch import Tensor, nn

from magnet_helpers import FGSM, PGD, ConvAutoencoder, ConvClassifier, ReformedClassifier, predict
from magnet_helpers.attacks._advertorch import GradientSignAttack, LinfPGDAttack
from tools.benchmarks.training import images_and_labels

EPSILON, STEPS, STEP_SIZE = 0.3, 40, 0.01


def _by_advertorch(model: nn.Module, images: Tensor, labels: Tensor, steps: int) -> Tensor:
    loss = nn.CrossEntropyLoss(reduction="sum")
    adversary = (
        GradientSignAttack(model, loss_fn=loss, eps=EPSILON)
        if steps == 1
        else LinfPGDAttack(
            *(model, loss), eps=EPSILON, nb_iter=steps, eps_iter=STEP_SIZE, rand_init=False, clip_min=0.0, clip_max=1.0
        )
    )
    adversarial: Tensor = adversary.perturb(images, labels)
    return adversarial


def _by_foolbox(model: nn.Module, images: Tensor, labels: Tensor, steps: int) -> Tensor:
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device=images.device)
    attack = (
        foolbox.attacks.LinfFastGradientAttack()
        if steps == 1
        else foolbox.attacks.LinfPGD(steps=steps, abs_stepsize=STEP_SIZE, random_start=False)
    )
    _, clipped, _ = attack(wrapped, images, labels, epsilons=EPSILON)
    return clipped


def _by_art(model: nn.Module, images: Tensor, labels: Tensor, steps: int) -> Tensor:
    classifier = PyTorchClassifier(
        model=model,
        loss=nn.CrossEntropyLoss(),
        input_shape=(1, 28, 28),
        nb_classes=10,
        clip_values=(0, 1),
        device_type="gpu" if images.device.type == "cuda" else "cpu",
    )
    attack = (
        FastGradientMethod(classifier, eps=EPSILON, batch_size=len(images))
        if steps == 1
        else ProjectedGradientDescent(
            classifier, eps=EPSILON, eps_step=STEP_SIZE, max_iter=steps, batch_size=len(images), verbose=False
        )
    )
    return torch.from_numpy(attack.generate(x=images.cpu().numpy(), y=np.asarray(labels.cpu())))


def _ours(model: nn.Module, images: Tensor, labels: Tensor, steps: int) -> Tensor:
    attack = FGSM(EPSILON) if steps == 1 else PGD(EPSILON, steps=steps, step_size=STEP_SIZE)
    return attack.perturb(model, images, predicted=labels)


WAYS: dict[str, Callable[[nn.Module, Tensor, Tensor, int], Tensor]] = {
    "ours": _ours,
    "advertorch": _by_advertorch,
    "foolbox": _by_foolbox,
    "ART": _by_art,
}


def measure(rounds: int, count: int, device: torch.device, report: Callable[[str], None]) -> list[dict[str, object]]:
    """Measure FGSM and PGD in every way and return one row for each.

    Args:
        rounds: how often each is measured, in turn.
        count: images of an FGSM; a PGD, which is 40 times the work, gets an eighth of them.
        device: where the model and the images are. The time ends with the adversarial images on the CPU.
        report: told what is being measured.
    """
    torch.manual_seed(0)
    model = ReformedClassifier(ConvAutoencoder(), ConvClassifier()).eval().to(device)
    rows = []
    for name, steps, n in (("FGSM", 1, count), (f"PGD, {STEPS} steps", STEPS, max(count // 8, 1))):
        report(f"attacks: {name}")
        images = images_and_labels(n).images.to(device)
        labels = predict(model, images).to(device)
        seconds: dict[str, list[float]] = {way: [] for way in WAYS}
        made: dict[str, Tensor] = {}
        for number in range(rounds + 1):
            for way, make in WAYS.items():
                started = time.perf_counter()
                made[way] = make(model, images, labels, steps).detach().cpu()
                if number > 0:  # the first round compiles, and warms up
                    seconds[way].append(time.perf_counter() - started)
        model.requires_grad_(True)
        rows += [
            {
                "attack": name,
                "way": way,
                "images_per_second": round(n / statistics.median(seconds[way])),
                "ours_to_it": round(
                    statistics.median(b / a for a, b in zip(seconds["ours"], seconds[way], strict=True)), 2
                ),
                "pixels_as_ours": round(((made[way] - made["ours"]).abs() <= 1e-5).double().mean().item(), 5),
            }
            for way in WAYS
        ]
    return rows
