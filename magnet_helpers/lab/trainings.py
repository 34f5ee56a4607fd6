"""How each network of the course is trained: its loss, images, epochs, seed, and the networks it starts from.

A spec is data. `lab` carries it out, or loads what came of it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial

import torch
from torch import Tensor, nn

from magnet_helpers.data import LabeledImages, PairedImages
from magnet_helpers.defenses import Defense, denoising
from magnet_helpers.inference import apply_model
from magnet_helpers.lab.budget import Budget
from magnet_helpers.lab.code_version import code_version
from magnet_helpers.losses import ClassificationLoss, FixedNoiseLoss, Loss, add_noise
from magnet_helpers.models import ContractiveAutoencoder, ConvAutoencoder, ConvClassifier, StackedAutoencoder
from magnet_helpers.seeds import derived_seed, initial_weights_from, new_generator
from magnet_helpers.training import TrainingConfig

TRAINING_CODE = code_version(
    *("data.images", "data.dataset", "data.loading", "data.idx", "data.mnist_files"),
    *("seeds", "fast.kernels", "fast.fused", "models", "jacobian", "losses"),
    *("device", "inference", "fast.cuda_graphs", "training", "lab.trainings"),
)

# For `TrainingSpec.work`: MNIST's training images, and a training step of each network beside the plain autoencoder's.
ALL_IMAGES = 55_000
COST = {ConvAutoencoder: 1.0, ConvClassifier: 1.7, ContractiveAutoencoder: 3.0}


@dataclass(frozen=True)
class TrainingSpec:
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

    def settings(self, data_fingerprint: str) -> dict[str, object]:
        """Return what the key of the trained network is made from."""
        return {
            "kind": "network",
            "name": self.name,
            "network": repr(self._outline),
            "loss": repr(self.loss),
            "images": self.images,
            "validation_images": self.validation_images,
            "config": repr(self.config),
            "parents": [parent.settings(data_fingerprint) for parent in self.parents],
            "stage_noise_std": self.stage_noise_std,
            "start": self.start,
            "data": data_fingerprint,
            "code": TRAINING_CODE,
        }

    @cached_property
    def key(self) -> str:
        """Equal for specs that give the same network from the same data."""
        return repr(self.settings(""))

    @cached_property
    def work(self) -> float:
        """Roughly how long it trains, in images that pass one autoencoder: it decides about the order of work only."""
        passes = self.config.epochs * (self.images or ALL_IMAGES)
        return passes * sum(COST.get(type(part), 0.0) for part in self._outline.modules())

    @cached_property
    def _outline(self) -> nn.Module:
        """The network without memory for its weights, which takes a hundredth of the time."""
        with torch.device("meta"):
            return self.build()

    def untrained(self) -> nn.Module:
        """Return the network with its initial weights, which the seed alone decides."""
        with initial_weights_from(self.config.seed):
            return self.build()


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

    def reformer(self, defense: Defense) -> TrainingSpec:
        """Return how the reformer of a defence is trained."""
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


def with_parents(specs: Iterable[TrainingSpec]) -> list[TrainingSpec]:
    """Return the specs and all that they start from, each once, parents first."""
    found: dict[str, TrainingSpec] = {}
    for spec in specs:
        for each in (*with_parents(spec.parents), spec):
            found.setdefault(each.key, each)
    return list(found.values())


def longest_first(specs: Sequence[TrainingSpec]) -> list[TrainingSpec]:
    """Return the specs in the order in which several workers should take them.

    First comes what the longest chain of trainings waits for (the upward rank of Topcuoglu et al. 2002), so parents
    come before what starts from them.
    """
    work = {spec.key: spec.work for spec in specs}
    ranks = dict(work)
    for spec in reversed(with_parents(specs)):  # children before parents
        for parent in spec.parents:
            if spec.key in ranks and parent.key in ranks:
                ranks[parent.key] = max(ranks[parent.key], work[parent.key] + ranks[spec.key])
    return sorted(specs, key=lambda spec: -ranks[spec.key])


def start_from_parents(
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
                LabeledImages(_noisy(spec, spec.stage_noise_std, each, "stage inputs"), each.labels) for each in sets
            ]
        sets = [LabeledImages(apply_model(before, each.images), each.labels) for each in sets]
    if isinstance(spec.loss, FixedNoiseLoss):
        noisy = [_noisy(spec, spec.loss.noise_std, each, "fixed noise") for each in sets]
        sets = [
            PairedImages(torch.cat([each.images, its], dim=1), each.labels)
            for each, its in zip(sets, noisy, strict=True)
        ]
    return sets[0], sets[1]


def _noisy(spec: TrainingSpec, noise_std: float, images: LabeledImages, purpose: str) -> Tensor:
    """Return noisy images, the same in every run."""
    generator = new_generator(spec.config.seed, f"{purpose} of {len(images)} images")
    return add_noise(images.images, noise_std, generator)
