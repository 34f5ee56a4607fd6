"""What a setting shows, computed: an explorer is called with one value for each control of its panel.

A plain call (`explore_noise`, `explore_attack`, `explore_detector`) needs no widgets.
"""

from abc import ABC, abstractmethod
from typing import Any, Literal

from torch import Tensor, nn

from magnet_helpers.attacks import FGSM, Knowledge
from magnet_helpers.contracts import as_number
from magnet_helpers.defenses import MAGNETS_OWN, NO_REFORMER, Defense, ReformedClassifier, denoising
from magnet_helpers.detectors import Detector, DetectorSpec, choose_threshold
from magnet_helpers.inference import apply_model, predict
from magnet_helpers.lab.lab import Lab
from magnet_helpers.losses import add_noise
from magnet_helpers.panels.exploration import Exploration
from magnet_helpers.panels.rows import Caption, ImageRow
from magnet_helpers.seeds import new_generator
from magnet_helpers.study.grid import DETECTORS

KNOWLEDGE = (Knowledge.CLASSIFIER, Knowledge.REFORMER)  # what the attacker of a panel may know

DENOISING = denoising(0.4)
_Judgment = Literal["rejected", "passed"]
_COUNT = 5  # images: few enough that each change is answered at once on two cores


class _Explorer(ABC):
    """Computes what a setting shows, for the first test image of some digits; looks up each network once.

    Args:
        lab: gives the images and the trained networks.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.classifier = lab.classifier()
        examples = lab.examples.spread(_COUNT)
        self.images, self.labels = examples.images, examples.labels
        self.note = lab.note_for(len(self.images))
        self._reformers: dict[Defense, nn.Module] = {NO_REFORMER: nn.Identity()}

    @abstractmethod
    def __call__(self, *args: Any, **settings: Any) -> Exploration:
        """Return what these settings show."""

    def reformer(self, defense: Defense) -> nn.Module:
        """Return the trained reformer of a defence; of `NO_REFORMER`, what changes nothing."""
        if not isinstance(defense, Defense):
            raise ValueError(f"reformer must be a defence, for example denoising(0.4), got {defense!r}")
        if defense not in self._reformers:
            self._reformers[defense] = self.lab.reformer(defense)
        return self._reformers[defense]

    def answered(self, images: Tensor) -> ImageRow:
        """Return the images with the classifier's answers."""
        answers = predict(self.classifier, images).tolist()
        pairs = zip(answers, self.labels.tolist(), strict=True)
        return ImageRow(
            images,
            tuple(Caption(f"→ {answer}", "right" if answer == label else "wrong") for answer, label in pairs),
        )


class NoiseExplorer(_Explorer):
    """Computes `explore_noise` for one setting after another."""

    def __call__(self, noise_std: float, reformer: Defense) -> Exploration:
        """Return what `explore_noise` returns."""
        noise_std = as_number("noise_std", noise_std, least=0, unit=", in pixel units")
        noisy = add_noise(self.images, noise_std, new_generator(self.lab.seed, "explore noise"))
        reformed = apply_model(self.reformer(reformer), noisy)
        rows = {"noisy": self.answered(noisy), "reformed": self.answered(reformed)}
        return Exploration("explore_noise", f"noise σ = {noise_std:.2f}\nreformer: {reformer.label}", rows, self.note)


class _FGSMExplorer(_Explorer):
    """What explorers of FGSM have in common: for all ε, they follow the gradient once."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab)
        self._signs: dict[Defense, Tensor] = {}

    def attacked(self, epsilon: float, attacked: Defense) -> Tensor:
        """Return FGSM's images, made on reformer and classifier.

        The gradient is that at the clean image, whatever ε is: so its sign is taken once, where it moves a pixel.
        """
        epsilon = FGSM(epsilon).epsilon  # refuses what is no ε
        if attacked not in self._signs:
            network = ReformedClassifier(self.reformer(attacked), self.classifier)
            self._signs[attacked] = (FGSM(1.0).perturb(network, self.images) - self.images).sign()
        return (self.images + epsilon * self._signs[attacked]).clamp(0, 1)


class AttackExplorer(_FGSMExplorer):
    """Computes `explore_attack` for one setting after another."""

    def __call__(self, epsilon: float, knowledge: Knowledge, reformer: Defense) -> Exploration:
        """Return what `explore_attack` returns."""
        if knowledge not in KNOWLEDGE:
            allowed = " or ".join(str(known) for known in KNOWLEDGE)
            raise ValueError(f"knowledge must be one of Knowledge: {allowed}, got {knowledge!r}")
        knowledge = Knowledge(knowledge)
        network = self.reformer(reformer)
        attacked = self.attacked(epsilon, reformer if knowledge is Knowledge.REFORMER else NO_REFORMER)
        images = {"clean": self.images, "attacked": attacked, "reformed": apply_model(network, attacked)}
        title = f"FGSM, ε = {epsilon:.2f}, {knowledge.label}\nreformer: {reformer.label}"
        rows = {name: self.answered(shown) for name, shown in images.items()}
        return Exploration("explore_attack", title, rows, self.note)


class DetectorExplorer(_FGSMExplorer):
    """Computes `explore_detector` for one setting after another; scores the validation images once."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab)
        self._detectors: dict[DetectorSpec, tuple[Detector, Tensor, Tensor]] = {}

    def detector(self, spec: DetectorSpec) -> tuple[Detector, Tensor, Tensor]:
        """Return a detector, its scores of the clean validation images, and those of the clean digits."""
        if not isinstance(spec, DetectorSpec):
            raise ValueError(f"detector must be a spec, for example one of DETECTORS, got {spec!r}")
        if spec not in self._detectors:
            (detector,) = self.lab.detectors([spec])
            validation = apply_model(detector, self.lab.data.validation.images)
            self._detectors[spec] = detector, validation, apply_model(detector, self.images)
        return self._detectors[spec]

    def __call__(
        self, epsilon: float, false_positive_rate: float, detector: DetectorSpec, reformer: Defense
    ) -> Exploration:
        """Return what `explore_detector` returns."""
        scorer, validation_scores, clean_scores = self.detector(detector)
        threshold = choose_threshold(validation_scores, false_positive_rate)
        attacked = self.attacked(epsilon, NO_REFORMER)

        def judged(images: Tensor, scores: Tensor) -> ImageRow:
            kinds: list[_Judgment] = ["rejected" if score > threshold.value else "passed" for score in scores.tolist()]
            captions = [
                Caption(f"{score:.3g}\n{kind}", kind) for score, kind in zip(scores.tolist(), kinds, strict=True)
            ]
            return ImageRow(images, tuple(captions), f"score, rejected\nabove {threshold.value:.3g}")

        rows = {"clean": judged(self.images, clean_scores), "attacked": judged(attacked, apply_model(scorer, attacked))}
        answers = self.answered(apply_model(self.reformer(reformer), attacked))
        pairs = zip(rows["attacked"].captions, answers.captions, strict=True)
        refused = Caption("no answer", "refused")
        captions = tuple(refused if judgment.kind == "rejected" else answer for judgment, answer in pairs)
        rows["reformed"] = ImageRow(answers.images, captions)
        title = (
            f"FGSM, ε = {epsilon:.2f}; reformer: {reformer.label}; detector: {scorer.label}\n"
            f"rejects {threshold.rejected} of {threshold.total:,} clean validation images"
        )
        return Exploration("explore_detector", title, rows, self.note)


def explore_noise(lab: Lab, noise_std: float = 0.6, reformer: Defense = DENOISING) -> Exploration:
    """Return digits with noise, x̃ = clip(x + σz, 0, 1), and reformed, with the classifier's answers.

    z is the same for every σ, so that nothing but σ changes.

    Args:
        lab: gives the images and the trained networks; what is not there yet, it trains.
        noise_std: σ, in pixel units, 0 or more.
        reformer: whose reformer it is; `NO_REFORMER` changes nothing.

    Raises:
        ValueError: if the noise is negative or no number, or the reformer is no `Defense`.
    """
    return NoiseExplorer(lab)(noise_std, reformer)


def explore_attack(
    lab: Lab, epsilon: float = 0.3, knowledge: Knowledge = Knowledge.CLASSIFIER, reformer: Defense = DENOISING
) -> Exploration:
    """Return digits: clean, after FGSM, and then reformed, with the classifier's answers.

    Args:
        lab: gives the images and the trained networks; what is not there yet, it trains.
        epsilon: ε, the largest change of a pixel, in [0, 1].
        knowledge: `Knowledge.CLASSIFIER`, the grey box: the gradient is the classifier's; `Knowledge.REFORMER`, the
            white box: it goes through the reformer as well.
        reformer: whose reformer it is; `NO_REFORMER` changes nothing.

    Raises:
        ValueError: if ε or the knowledge is another, or the reformer is no `Defense`.
    """
    return AttackExplorer(lab)(epsilon, knowledge, reformer)


def explore_detector(
    lab: Lab,
    epsilon: float = 0.15,
    false_positive_rate: float = 0.01,
    detector: DetectorSpec = DETECTORS[1],
    reformer: Defense = MAGNETS_OWN[0],
) -> Exploration:
    """Return digits: clean and after FGSM with a detector's scores, and what the defence answers.

    FGSM is made on the classifier alone. An image whose score is above the threshold is refused.

    Args:
        lab: gives the images and the trained networks; what is not there yet, it trains.
        epsilon: ε, the largest change of a pixel, in [0, 1].
        false_positive_rate: share of clean validation images that may be rejected, in [0, 1] (`choose_threshold`).
        detector: which one.
        reformer: whose reformer it is; `NO_REFORMER`: the detector alone.

    Raises:
        ValueError: if ε or the rate is outside [0, 1], the detector is no `DetectorSpec`, or the reformer is no
            `Defense`.
    """
    return DetectorExplorer(lab)(epsilon, false_positive_rate, detector, reformer)
