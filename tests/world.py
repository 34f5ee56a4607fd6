"""A small world with a defence, always of the same numbers, and every call that asks something of it."""

import torch
from tiny import tiny_images
from torch import nn

from magnet_helpers.attacks import (
    DDN,
    FGSM,
    IFGSM,
    JSMA,
    MIFGSM,
    PGD,
    PGDL2,
    SPSA,
    ZOO,
    CarliniWagner,
    DetectorAwareCarliniWagner,
    DetectorAwarePGD,
    ElasticNet,
    Ensemble,
    ExpectationOverTransformation,
    HopSkipJump,
    RandomNoise,
    RejectedAsClass,
    Square,
    Transferred,
)
from magnet_helpers.attacks.adaptive import BPDA
from magnet_helpers.attacks.substitute import train_substitute
from magnet_helpers.defenses import ReformedClassifier
from magnet_helpers.detectors import DivergenceDetector, ReconstructionDetector
from magnet_helpers.evaluation import evaluate_accuracy, evaluate_defense
from magnet_helpers.inference import apply_model, n_classes_of, predict
from magnet_helpers.jacobian import codes_and_frobenius_squared, jacobian_frobenius_squared
from magnet_helpers.losses import ClassificationLoss, ContractiveLoss
from magnet_helpers.magnet import MagNet, RandomReformer
from magnet_helpers.models import ContractiveAutoencoder
from magnet_helpers.robustness import check_up
from magnet_helpers.seeds import new_generator
from magnet_helpers.training import TrainingConfig, fit


class Watched(nn.Module):
    """Passes images on; `hook` sees each call."""

    def __init__(self):
        super().__init__()
        self.hook = None

    def forward(self, images):
        if self.hook is not None:
            self.hook()
        return images


def _filled(model, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.15 * torch.randn(parameter.shape, generator=generator, device="cpu", dtype=torch.float32))
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.weight.add_(1)
                module.running_mean.uniform_(-0.1, 0.1, generator=generator)
                module.running_var.uniform_(0.5, 1.5, generator=generator)
    return model


class World:
    """A MagNet and its parts, and the images and labels that they are asked about; an encoder if an entry asks it."""

    def __init__(self, entry=""):
        self.watched = Watched()
        self.classifier = _filled(
            nn.Sequential(
                self.watched,
                nn.Flatten(),
                nn.Linear(784, 12),
                nn.BatchNorm1d(12),
                nn.ReLU(),
                nn.Dropout(),
                nn.Linear(12, 10),
            ),
            1,
        )
        self.reformer = _filled(
            nn.Sequential(
                nn.Flatten(),
                nn.Linear(784, 6),
                nn.BatchNorm1d(6),
                nn.Linear(6, 784),
                nn.Sigmoid(),
                nn.Unflatten(1, (1, 28, 28)),
            ),
            2,
        )
        test = tiny_images(5)
        self.images, self.labels = test.images, test.labels
        with torch.no_grad():
            self.labels = self.classifier.eval()(self.images).argmax(dim=1)  # right answers, so that all are attacked
        self.test = type(test)(self.images, self.labels)
        detectors = [ReconstructionDetector(self.reformer, 1), DivergenceDetector(self.reformer, self.classifier, 10)]
        self.magnet = MagNet.calibrated(self.classifier, self.reformer, detectors, self.images, 0.4)
        self.encoder = _filled(ContractiveAutoencoder(), 3) if entry.endswith("Jacobian") else nn.Identity()
        self.random = RandomReformer([self.reformer, nn.Identity()], seed=5)
        self.extra = Extra()

    @property
    def networks(self):
        return [self.magnet, self.encoder, self.random, self.extra]


class Extra(nn.Module):
    """Holds a generator of its own."""

    def __init__(self):
        super().__init__()
        self.generator = new_generator(1, "extra")


def _attack(attack, of="classifier"):
    def call(world):
        got = attack.run(getattr(world, of), world.images, world.labels)
        return got.adversarial, got.success, attack.perturb(getattr(world, of), world.images, world.labels)

    return call


ATTACKS = (
    FGSM(0.2),
    FGSM(0.2, "given"),
    IFGSM(0.2, "given", steps=2, step_size=0.1),
    MIFGSM(0.2, "given", steps=2, step_size=0.1),
    PGD(0.2, "given", steps=2, step_size=0.1),
    PGD(0.2, steps=2, step_size=0.1, restarts=2),
    PGDL2(2.0, "given", steps=2, step_size=1.0, restarts=1),
    CarliniWagner(iterations=4, searches=2, first_c=10, learning_rate=0.2),
    ElasticNet(iterations=4, searches=2, first_c=10, learning_rate=0.2),
    DDN(4),
    JSMA(gamma=0.01),
    RandomNoise(0.2),
    SPSA(0.2, steps=2, samples=4),
    ZOO(iterations=2, searches=1, pixels=16),
    Square(0.2, queries=8),
    HopSkipJump(steps=1, queries=8, first_queries=4),
)
OF_MAGNETS = (
    DetectorAwarePGD(0.2, "given", steps=3, step_size=0.1),
    DetectorAwarePGD(0.2, steps=3, step_size=0.1, restarts=1),
    DetectorAwareCarliniWagner(iterations=3, searches=2, first_c=10, learning_rate=0.2),
)


def _defense(world):
    report = evaluate_defense(world.classifier, world.reformer, world.test, PGD(0.1, steps=2, restarts=1))
    return (*report.answers.values(), report.unchanged, report.collapsed)


def _judged(world):
    outcome = world.magnet.judge(world.images, world.labels)
    return outcome.answers, outcome.rejected


def _calibrated(world):
    magnet = MagNet.calibrated(world.classifier, world.reformer, list(world.magnet.detectors), world.images, 0.4)
    return [threshold.value for threshold in magnet.thresholds]


def _check_up(world):
    iterated, queries = PGD(0.2, "given", steps=1), Square(0.2, queries=3)
    done = check_up(world.classifier, world.images, world.labels, iterated=iterated, queries=queries)
    return tuple(run.adversarial for run in done.runs.values())


def _substitute(world):
    net = train_substitute(world.classifier, world.images, rounds=2, epochs=1)
    return tuple(net.state_dict().values())


def _built(build):
    with torch.random.fork_rng(devices=[]), torch.device("cpu"), torch.inference_mode(mode=False):
        return build().float()


def _fit(world):
    model = _filled(
        _built(lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 12), nn.BatchNorm1d(12), nn.Linear(12, 10))), 7
    )
    config = TrainingConfig(epochs=2, batch_size=3, precision="float32")
    history = fit(model, ClassificationLoss(), world.test, world.test, config, device=torch.device("cpu"))
    return (*model.state_dict().values(), *[epoch.training_loss for epoch in history.epochs])


def _fit_cae(world):
    model = _filled(_built(ContractiveAutoencoder), 7)
    config = TrainingConfig(epochs=1, batch_size=3, precision="float32")
    fit(model, ContractiveLoss(0.1), world.test, world.test, config, device=torch.device("cpu"))
    return tuple(model.state_dict().values())


ENTRIES = {
    **{f"{attack!r}": _attack(attack) for attack in ATTACKS},
    **{f"{attack!r}": _attack(attack, "magnet") for attack in OF_MAGNETS},
    "PGD on MagNet": _attack(PGD(0.1, "given", steps=2), "magnet"),
    "Transferred": lambda world: Transferred(FGSM(0.2, "given"), world.classifier, "it").perturb(
        world.magnet, world.images, world.labels
    ),
    "EOT": lambda world: FGSM(0.2).perturb(ExpectationOverTransformation(world.classifier, 2), world.images),
    "Ensemble": lambda world: FGSM(0.2).perturb(Ensemble([world.classifier, world.magnet]), world.images),
    "RejectedAsClass": lambda world: FGSM(0.2).perturb(RejectedAsClass(world.magnet), world.images),
    "BPDA": lambda world: FGSM(0.2).perturb(ReformedClassifier(BPDA(world.reformer), world.classifier), world.images),
    "train_substitute": _substitute,
    "predict": lambda world: predict(world.magnet, world.images),
    "apply_model": lambda world: apply_model(world.magnet, world.images),
    "detector": lambda world: apply_model(world.magnet.detectors[1], world.images),
    "evaluate_accuracy": lambda world: evaluate_accuracy(world.classifier, world.test),
    "evaluate_defense": _defense,
    "judge": _judged,
    "calibrated": _calibrated,
    "rejections": lambda world: world.magnet.rejections(world.images),
    "check_up": _check_up,
    "n_classes_of": lambda world: n_classes_of(world.classifier, world.images),
    "exact Jacobian": lambda world: jacobian_frobenius_squared(world.encoder.encode, world.images[:2]).detach(),
    "plain Jacobian": lambda world: jacobian_frobenius_squared(
        lambda images: world.encoder.encode(images), world.images[:1, :, 10:18, 10:18].repeat(1, 1, 4, 4)[..., :28, :28]
    ).detach(),
    "random Jacobian": lambda world: torch.stack(
        codes_and_frobenius_squared(world.encoder.encode, world.images, projections=2, generator=new_generator(3, "v"))[
            1:
        ]
    ).detach(),
    "fit": _fit,
    "fit contractive": _fit_cae,
}
