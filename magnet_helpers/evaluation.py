"""What a defence is worth: accuracies as counts with intervals, and what a careful reader would doubt."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from magnet_helpers.attacks import GradientAttack, Knowledge
from magnet_helpers.contracts import check_alike, check_classes, check_images, check_reformed
from magnet_helpers.data import LabeledImages, check_labeled
from magnet_helpers.defenses import ReformedClassifier
from magnet_helpers.device import full_precision
from magnet_helpers.inference import apply_model, classes_of, is_constant, n_classes_of, outputs_of, predict
from magnet_helpers.intervals import Accuracy

MEASURED = (Knowledge.NOTHING, Knowledge.CLASSIFIER, Knowledge.REFORMER)  # clean, grey box and white box


@dataclass(frozen=True, eq=False)  # tensors have no single truth value to compare by
class DefenseReport:
    """Every answer of one defence to clean images, and to those of attackers who know the classifier or the reformer.

    Attributes:
        labels: the right answers, shape (N,).
        answers: predicted labels, shape (N,), for each knowledge of `MEASURED`: of the clean images, of the grey box's,
            of the white box's.
        unchanged: images that the white-box attack could not change at all (its gradient was zero); 0 if ε is 0.
        collapsed: whether the reformer's output is constant.
        has_reformer: False for the undefended classifier, whose grey box and white box are one and the same.
        attack: the attack's settings.

    Raises:
        ValueError: unless there are a label and an answer for each image.
    """

    labels: Tensor
    answers: Mapping[Knowledge, Tensor]
    unchanged: int
    collapsed: bool
    has_reformer: bool
    attack: str

    def __post_init__(self) -> None:
        check_alike(labels=self.labels, **{str(knows): answers for knows, answers in self.answers.items()})

    def right(self, knows: Knowledge) -> Tensor:
        """Return which answers are right, booleans (N,), when the attackers know this (nothing: nobody attacks)."""
        return self.answers[Knowledge(knows)] == self.labels

    def accuracy(self, knows: Knowledge) -> Accuracy:
        """Return the accuracy that is left to attackers who know this (nothing: of the clean images)."""
        return Accuracy(int(self.right(knows).sum()), len(self.labels))

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors of this report by name, for storage."""
        return {"labels": self.labels, **{str(knows): self.answers[knows] for knows in MEASURED}}

    def facts(self) -> dict[str, Any]:
        """Return everything else in this report by name, and its counts, for storage."""
        facts = {name: getattr(self, name) for name in _FACTS}
        return {**facts, "accuracy": {str(knows): asdict(self.accuracy(knows)) for knows in MEASURED}}

    @classmethod
    def restore(cls, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> "DefenseReport":
        """Return the report whose `tensors()` and `facts()` these are."""
        answers = {knows: tensors[knows] for knows in MEASURED}
        return cls(tensors["labels"], answers, **{name: facts[name] for name in _FACTS})


_FACTS = ("unchanged", "collapsed", "has_reformer", "attack")


def evaluate_accuracy(model: nn.Module, test: LabeledImages) -> Accuracy:
    """Return the accuracy of a model that maps images (N, 1, 28, 28) to logits (N, K).

    For images that `LabeledImages` does not take, in colour for example: `predict(model, images) == labels`.

    Raises:
        TypeError: if `test` are no `LabeledImages`.
        ValueError: if the model returns no logits (N, K), or has fewer classes than the labels.

    >>> test = LabeledImages(torch.zeros(4, 1, 28, 28), torch.tensor([0, 0, 0, 7]))
    >>> evaluate_accuracy(nn.Flatten(), test)  # of a black image it answers 0
    Accuracy(correct=3, total=4)
    """
    check_labeled(test=test)
    check_classes(test.labels, n_classes_of(model, test.images))
    return Accuracy(int((predict(model, test.images) == test.labels).sum()), len(test))


def check_reportable(attack: object) -> None:
    """Raise a TypeError unless a `DefenseReport` can be of this attack: it keeps within ε and may have no labels."""
    if not isinstance(attack, GradientAttack) or attack.needs_detectors:
        raise TypeError(
            "a report needs an attack within ε on classifier and reformer (FGSM, IFGSM, MIFGSM, PGD, PGDL2), got "
            f"{attack!r}: for any other take `attack.run(model, images, labels)`, or a `Threat` and "
            "`study.run.run_attacks`"
        )


def evaluate_defense(
    classifier: nn.Module,
    reformer: nn.Module | None,
    test: LabeledImages,
    attack: GradientAttack,
    *,
    grey_box_images: Tensor | None = None,
) -> DefenseReport:
    """Return the answers of classifier and reformer to clean, grey-box and white-box images.

    Grey box: the attack is made on the classifier alone. White box: on reformer and classifier as one network. Both
    then pass the reformer and the classifier. Two of its answers are computed step by step in lesson 07.

    Args:
        classifier: maps images (N, 1, 28, 28) to logits (N, K).
        reformer: maps images to images of the same shape; None for no defence.
        test: images and labels. For images in colour or of another size: `attack.run` on `ReformedClassifier`.
        attack: the attack and its settings.
        grey_box_images: `attack.perturb(classifier, …)` if it is there already: it is the same for every reformer.

    Raises:
        ValueError: if `grey_box_images` are no images, have another shape than the test images, or if one of them is
            further from its test image than the attack may go; if the classifier returns no logits or has fewer classes
            than the labels, or if the reformer returns another shape.
        TypeError: if the attack has no ε, or is made on detectors.
    """
    check_reportable(attack)
    check_labeled(test=test)
    check_classes(test.labels, n_classes_of(classifier, test.images))
    if grey_box_images is None:
        grey_box_images = attack.perturb(classifier, test.images, test.labels)
    if check_images(grey_box_images).shape != test.images.shape:
        raise ValueError(
            f"grey_box_images must have the shape of the test images, {tuple(test.images.shape)}, "
            f"got {tuple(grey_box_images.shape)}"
        )
    _check_within(attack.bound, test.images, grey_box_images)
    if reformer is None:
        answers = predict(classifier, grey_box_images)
        return DefenseReport(
            labels=test.labels,
            answers=dict(zip(MEASURED, (predict(classifier, test.images), answers, answers), strict=True)),
            unchanged=_count_unchanged(grey_box_images, test.images) if attack.epsilon else 0,
            collapsed=False,
            has_reformer=False,
            attack=repr(attack),
        )
    defended = ReformedClassifier(reformer, classifier)
    reformed = check_reformed(test.images, apply_model(reformer, test.images))
    with full_precision():
        clean = classes_of(outputs_of(classifier, reformed))  # a reformer may leave [0, 1]
    white_box_images = attack.perturb(defended, test.images, test.labels, predicted=clean)
    attacked = [predict(defended, images) for images in (grey_box_images, white_box_images)]
    return DefenseReport(
        labels=test.labels,
        answers=dict(zip(MEASURED, (clean, *attacked), strict=True)),
        unchanged=_count_unchanged(white_box_images, test.images) if attack.epsilon else 0,
        collapsed=len(test) > 1 and is_constant(reformed, test.images),
        has_reformer=True,
        attack=repr(attack),
    )


def _check_within(bound: tuple[str, float] | None, images: Tensor, attacked: Tensor) -> None:
    norm, epsilon = bound or ("L∞", 1.0)
    change = (attacked - images).flatten(start_dim=1)
    largest = float((change.norm(dim=1) if norm == "L2" else change.abs()).max())
    if not largest <= epsilon + 1e-5 * max(1.0, epsilon):  # rounding
        raise ValueError(
            f"grey_box_images must be made with the attack's own ε, {norm} {epsilon:g}, got a change of {largest:.3g}: "
            "reports compare attacks of one size only"
        )


def _count_unchanged(adversarial: Tensor, images: Tensor) -> int:
    same_pixels = (adversarial == images).flatten(start_dim=1)
    return int(torch.all(same_pixels, dim=1).sum())


def suspicions(report: DefenseReport) -> list[str]:
    """Return what a careful reader would doubt about a report, one sentence each; empty if nothing.

    The checks follow the checklist of Carlini et al. 2019, "On evaluating adversarial robustness".
    """
    clean, grey, white = (report.accuracy(knows) for knows in MEASURED)
    doubts = []
    if white.correct > grey.correct:
        right_in_grey, right_in_white = report.right(Knowledge.CLASSIFIER), report.right(Knowledge.REFORMER)
        replayed = int((right_in_white & ~right_in_grey).sum())
        doubts.append(
            f"white box ({100 * white.value:.1f} %) is above grey box ({100 * grey.value:.1f} %): {replayed} images "
            "survive the white-box attack although their grey-box version fools the same network. The attacker could "
            "have replayed those, so the white-box attack is too weak or its gradient is masked"
        )
    if report.unchanged:
        doubts.append(
            f"the attack left {report.unchanged} of {white.total} images as they were: their gradient is zero"
        )
    if report.collapsed:
        doubts.append("the reformer's output is constant: it has collapsed")
    low, _ = clean.interval
    if low <= 1 / max(2, int(report.labels.max()) + 1):  # of MNIST's ten classes: 0.1
        doubts.append(f"clean accuracy ({100 * clean.value:.1f} %) is at chance level")
    elif max(grey.correct, white.correct) > clean.correct:
        doubts.append("accuracy under attack is above clean accuracy")
    return doubts
