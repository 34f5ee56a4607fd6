"""How each network of the course is trained: its loss, images, epochs, seed, and the networks it starts from.

A spec is a task: data, and one call that carries it out.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from magnet_helpers.contracts import set_counts
from magnet_helpers.data import ImageData, LabeledImages, PairedImages
from magnet_helpers.defenses import NO_REFORMER, Defense, denoising
from magnet_helpers.device import place, precision_on
from magnet_helpers.inference import apply_model
from magnet_helpers.lab.budget import Budget
from magnet_helpers.lab.store import Artifact
from magnet_helpers.lab.tasks import Inputs, Task, provenance
from magnet_helpers.losses import ClassificationLoss, FixedNoiseLoss, Loss, add_noise
from magnet_helpers.magnet import MagNetSpec
from magnet_helpers.models import ContractiveAutoencoder, ConvAutoencoder, ConvClassifier, StackedAutoencoder
from magnet_helpers.seeds import derived_seed, initial_weights_from, new_generator
from magnet_helpers.training import Checkpoint, TrainingConfig, fit

# For `TrainingSpec.work`: MNIST's training images, and a training step of each network beside the plain autoencoder's.
_ALL_IMAGES = 55_000
_COST = {ConvAutoencoder: 1.0, ConvClassifier: 1.7, ContractiveAutoencoder: 3.0}


@dataclass(frozen=True)
class TrainingSpec(Task):
    """One network to be trained: everything that its weights follow from, but for the data.

    Attributes:
        name: what progress bars, warnings and folders call it.
        build: makes the untrained network.
        loss: what is minimised.
        images: number of training images (None: all).
        validation_images: number of validation images (None: all).
        config: epochs, batch size, learning rate, seed.
        parents: for a stack, its pretrained stages; for a stage, the stages before it.
        stage_noise_std: noise of the images that the stages before a stage turn into its own (0: clean ones).
        start: initial weights, see `defenses.Variant`.
    """

    name: str
    build: Callable[[], nn.Module] = field(compare=False)  # two bound methods of equal defences are not equal
    loss: Loss
    images: int | None
    validation_images: int | None
    config: TrainingConfig
    parents: tuple["TrainingSpec", ...] = ()
    stage_noise_std: float = 0.0
    start: str = "ours"
    plural: ClassVar[str] = "trainings"

    @property
    def needs(self) -> tuple["TrainingSpec", ...]:
        """The networks that it starts from."""
        return self.parents

    def settings(self, fingerprint: str) -> dict[str, object]:
        """Return what the key of the trained network is made from."""
        return {
            "kind": "network",
            "name": self.name,
            "network": repr(self._outline),
            "loss": repr(self.loss),
            "images": self.images,
            "validation_images": self.validation_images,
            "config": repr(self.config),
            "parents": [parent.settings(fingerprint) for parent in self.parents],
            "stage_noise_std": self.stage_noise_std,
            "start": self.start,
            "data": fingerprint,
            "code": self.code,
        }

    @cached_property
    def work(self) -> float:
        """Roughly how long it trains, in images that pass one autoencoder: it decides about the order of work only."""
        passes = self.config.epochs * (self.images or _ALL_IMAGES)
        return passes * sum(_COST.get(type(part), 0.0) for part in self._outline.modules())

    @property
    def entries(self) -> tuple[object, ...]:
        """Its class, its loss, the classes of its network and of all parts of that (torch's own too), and its start.

        The start is an entry because what calls it, `Defense.build_stage`, does not count; as a text, because the
        function itself would count for every training that could begin so.
        """
        kinds = {type(part) for part in self._outline.modules()}
        start = ("models:restart_like_keras",) if self.start == "keras" else ()
        return (type(self), type(self.loss), *sorted(kinds, key=lambda kind: kind.__qualname__), *start)

    @cached_property
    def _outline(self) -> nn.Module:
        """The network without memory for its weights, which takes a hundredth of the time."""
        with torch.device("meta"):
            return self.build()

    def untrained(self) -> nn.Module:
        """Return the network with its initial weights, which the seed alone decides."""
        with initial_weights_from(self.config.seed):
            return self.build()

    def restored(self, weights: Mapping[str, Tensor], device: torch.device) -> nn.Module:
        """Return the network with trained weights, ready to be used."""
        model = self.untrained()
        model.load_state_dict(weights)
        return place(model, device).eval()

    def run(
        self, inputs: Inputs, data: ImageData, device: torch.device, checkpoint: Checkpoint | None = None
    ) -> Artifact:
        """Train the network and return its weights and the record of its training."""
        model = self.untrained()
        parents = [parent.restored(inputs[parent.key].tensors, device) for parent in self.parents]
        train, validation = _start_from_parents(
            self,
            model,
            parents,
            _at_most(self.images, data.train),
            _at_most(self.validation_images, data.validation),
        )
        history = fit(
            model, self.loss, train, validation, self.config, device=device, checkpoint=checkpoint, label=self.name
        )
        precision = precision_on(device, self.config.precision)
        record = {**asdict(history), "images": len(train), "precision": precision, **provenance(device)}
        return Artifact(dict(model.state_dict()), record)

    def announcement(self, made: Artifact) -> str:
        """Say how long the training was."""
        epochs = made.record["epochs"]
        size = f"{len(epochs)} epoch{'s' * (len(epochs) > 1)} of {made.record['images']:,} images"
        return f"trained {self.name}: {size}, {sum(epoch['seconds'] for epoch in epochs):.0f} s"


@dataclass(frozen=True)
class TrainingSpecs:
    """Every spec of the course, for one budget and one seed.

    Args:
        budget: images and epochs.
        seed: fixes initial weights, order and noise of every training.
        n_classes: of the images, so of the classifier's answers.
    """

    budget: Budget
    seed: int
    n_classes: int = 10

    def __post_init__(self) -> None:
        set_counts(self, seed=0, n_classes=2)

    def _autoencoder(
        self,
        defense: Defense,
        epochs: int,
        *,
        name: str = "",
        part: str = "",
        parents: tuple[TrainingSpec, ...] = (),
    ) -> TrainingSpec:
        budget = self.budget
        is_magnets = defense.family in ("magnet_1", "magnet_2")
        config = TrainingConfig(
            epochs=epochs,
            batch_size=budget.magnet_batch_size if is_magnets else budget.autoencoder_batch_size,
            learning_rate=budget.magnet_learning_rate if is_magnets else budget.autoencoder_learning_rate,
            schedule=budget.autoencoder_schedule,
            cpu_threads=1,  # several at once, see `parallel`
            seed=derived_seed(self.seed, part) if part else self.seed,
        )
        return TrainingSpec(
            name=name or defense.label,
            build=defense.build_stage if name else defense.build,
            loss=defense.loss(),
            images=budget.autoencoder_images,
            validation_images=budget.validation_images,
            config=config,
            parents=parents,
            start=defense.variant.start,
        )

    def classifier(self) -> TrainingSpec:
        """Return how the classifier is trained."""
        budget = self.budget
        config = TrainingConfig(
            epochs=budget.classifier_epochs,
            batch_size=budget.classifier_batch_size,
            learning_rate=budget.classifier_learning_rate,
            schedule=budget.classifier_schedule,
            seed=self.seed,
            cpu_threads=1,
        )
        build, loss = partial(ConvClassifier, self.n_classes), ClassificationLoss()
        return TrainingSpec("classifier", build, loss, budget.classifier_images, budget.validation_images, config)

    def stages(self, defense: Defense) -> tuple[TrainingSpec, ...]:
        """Return how the stages of a stack are pretrained, first to last.

        Each is a denoising autoencoder; its clean images are the stages' before it output on *clean* images (paper,
        section on stacked denoising autoencoders). Stacks of different size share their first stages, and the first
        stage is the plain denoising autoencoder if the budget gives both the same epochs.
        """
        stages: tuple[TrainingSpec, ...] = ()
        noise_std = defense.noise_std or 0.0
        on_noisy = defense.variant.stage_inputs == "noisy"
        single = denoising(noise_std).but(**{**asdict(defense.variant), "stage_inputs": "clean"})
        for number in range(1, defense.n_stacks + 1):
            part = f"stage {number}" if number > 1 else ""
            name = f"{single.label} {part}{' on noisy images' if part and on_noisy else ''}".strip()
            stage = self._autoencoder(single, self.budget.pretraining_epochs, name=name, part=part, parents=stages)
            stages = (*stages, replace(stage, stage_noise_std=noise_std if part and on_noisy else 0.0))
        return stages

    def networks(self, magnet: MagNetSpec) -> tuple[TrainingSpec, ...]:
        """Return how each network of a MagNet is trained: the classifier, then each autoencoder once."""
        defenses = (magnet.reformer, *(detector.defense for detector in magnet.detectors))
        autoencoders = dict.fromkeys(defense for defense in defenses if defense != NO_REFORMER)
        return (self.classifier(), *(self.reformer(defense) for defense in autoencoders))

    def reformer(self, defense: Defense) -> TrainingSpec:
        """Return how the reformer of a defence is trained; raise a TypeError or ValueError for what has none."""
        if not isinstance(defense, Defense):
            raise TypeError(f"expected a Defense, for example denoising(0.4), got {defense!r}")
        if defense == NO_REFORMER:
            raise ValueError("the undefended classifier has no reformer: `lab.classifier()` is the whole network")
        epochs_by_family = {
            "vanilla": self.budget.vanilla_epochs,
            "denoising": self.budget.denoising_epochs,
            "stacked_denoising": self.budget.stack_epochs,
            "contractive": self.budget.contractive_epochs,
            "magnet_1": self.budget.magnet_epochs,
            "magnet_2": self.budget.magnet_epochs,
        }
        is_stack = defense.family == "stacked_denoising"
        return self._autoencoder(
            defense,
            epochs_by_family[defense.family],
            part="joint training" if is_stack else "",
            parents=self.stages(defense) if is_stack else (),
        )


def _start_from_parents(
    spec: TrainingSpec, model: nn.Module, parents: list[nn.Module], train: LabeledImages, validation: LabeledImages
) -> tuple[LabeledImages, LabeledImages]:
    """Bring in what the parents of a spec contribute, and return the images to train and to validate on.

    A stack takes over the pretrained stages' weights. A later stage takes the earlier stages' output on the clean
    images (of the program's variant: on noisy ones) as its own clean images. Noise that stays the same is drawn here.
    """
    sets = [train, validation]
    if isinstance(model, StackedAutoencoder):
        for stage, pretrained in zip(model.stages, parents, strict=True):
            stage.load_state_dict(pretrained.state_dict())
    elif parents:
        before = StackedAutoencoder(parents)
        if spec.stage_noise_std:
            sets = [
                LabeledImages(_noisy(spec, spec.stage_noise_std, labeled, "stage inputs"), labeled.labels)
                for labeled in sets
            ]
        sets = [LabeledImages(apply_model(before, labeled.images), labeled.labels) for labeled in sets]
    if isinstance(spec.loss, FixedNoiseLoss):
        noisy = [_noisy(spec, spec.loss.noise_std, labeled, "fixed noise") for labeled in sets]
        sets = [
            PairedImages(torch.cat([labeled.images, noisy_images], dim=1), labeled.labels)
            for labeled, noisy_images in zip(sets, noisy, strict=True)
        ]
    return sets[0], sets[1]


def _noisy(spec: TrainingSpec, noise_std: float, images: LabeledImages, purpose: str) -> Tensor:
    """Return noisy images, the same in every run."""
    generator = new_generator(spec.config.seed, f"{purpose} of {len(images)} images")
    return add_noise(images.images, noise_std, generator)


def _at_most(count: int | None, images: LabeledImages) -> LabeledImages:
    return images.first(None if count is None else min(count, len(images)))
