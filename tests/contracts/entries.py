"""Every door by which images and labels come in, by name, each as a function of them."""

import torch
from tiny import tiny_autoencoder, tiny_classifier, tiny_images

from magnet_helpers.attacks import (
    BPDA,
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
    HopSkipJump,
    RandomNoise,
    Square,
    Transferred,
)
from magnet_helpers.attacks.substitute import train_substitute
from magnet_helpers.data import LabeledImages
from magnet_helpers.detectors import DivergenceDetector, ReconstructionDetector
from magnet_helpers.evaluation import evaluate_defense
from magnet_helpers.inference import apply_model, is_constant, predict
from magnet_helpers.jacobian import jacobian_frobenius_squared
from magnet_helpers.losses import ClassificationLoss, add_noise, squared_error
from magnet_helpers.magnet import MagNet
from magnet_helpers.models import ContractiveAutoencoder, ConvClassifier
from magnet_helpers.plotting import plot_confusion, plot_image_grid, plot_tiles
from magnet_helpers.robustness import check_up
from magnet_helpers.seeds import initial_weights_from, new_generator

TEST = tiny_images(6)
CLASSIFIER, AUTOENCODER = tiny_classifier(), tiny_autoencoder()
with initial_weights_from(0):
    CONVOLUTIONS, CONTRACTIVE = ConvClassifier().eval(), ContractiveAutoencoder().eval()
DETECTORS = [ReconstructionDetector(AUTOENCODER, 1), DivergenceDetector(AUTOENCODER, CLASSIFIER, 10)]
MAGNET = MagNet.calibrated(CLASSIFIER, AUTOENCODER, DETECTORS, tiny_images(20, seed=1).images, 0.1)
ATTACKS = (
    FGSM(0.1, "given"),
    IFGSM(0.1, "given", steps=1),
    MIFGSM(0.1, "given", steps=1),
    PGD(0.1, "given", steps=1, restarts=1),
    PGDL2(0.1, "given", steps=1),
    CarliniWagner(iterations=1, searches=1),
    ElasticNet(iterations=1, searches=1),
    DDN(1),
    JSMA(gamma=0.003),
    RandomNoise(0.1),
    SPSA(0.1, steps=1, samples=1),
    Square(0.1, queries=1),
    ZOO(iterations=1, searches=1, pixels=4),
    Transferred(FGSM(0.1, "given"), CLASSIFIER, "the same"),
)
OF_MAGNETS = (DetectorAwarePGD(0.1, "given", steps=1), DetectorAwareCarliniWagner(iterations=1, searches=1))
QUICK = {"iterated": PGD(0.1, "given", steps=1), "queries": Square(0.1, queries=1)}
HOPS = HopSkipJump(steps=1, queries=2, first_queries=1)  # draws anew for images that fool the model already


def of_images(images, labels=TEST.labels):
    """Return name → what is called with these images; the labels are right."""
    calls = {type(attack).__name__: lambda each=attack: each.perturb(CLASSIFIER, images, labels) for attack in ATTACKS}
    calls |= {type(each).__name__: lambda each=each: each.perturb(MAGNET, images, labels) for each in OF_MAGNETS}
    return calls | {
        "HopSkipJump": lambda: HOPS.run(CLASSIFIER, images, labels).success,
        "run": lambda: FGSM(0.1).run(CLASSIFIER, images, labels).success,
        "BPDA": lambda: predict(torch.nn.Sequential(BPDA(AUTOENCODER), CLASSIFIER), images),
        "predict": lambda: predict(CLASSIFIER, images),
        "convolutions": lambda: predict(CONVOLUTIONS, images),
        "apply": lambda: apply_model(AUTOENCODER, images),
        "scores": lambda: apply_model(DETECTORS[1], images),
        "calibrated": lambda: torch.tensor(
            MagNet.calibrated(CLASSIFIER, None, DETECTORS, images, 0.5).thresholds[0].value
        ),
        "judge": lambda: MAGNET.judge(images, labels).answers,
        "rejections": lambda: MAGNET.rejections(images),
        "defense": lambda: torch.stack(
            list(evaluate_defense(CLASSIFIER, AUTOENCODER, TEST, FGSM(1), grey_box_images=images).answers.values())
        ),
        "check_up": lambda: check_up(CLASSIFIER, images, labels, **QUICK).runs["PGD"].success,
        "substitute": lambda: predict(train_substitute(CLASSIFIER, images, rounds=1, epochs=1), TEST.images),
        "labeled": lambda: LabeledImages(images, labels).images,
        "jacobian": lambda: jacobian_frobenius_squared(CONTRACTIVE.encode, images),
        "noise": lambda: add_noise(images, 0.1, new_generator(0, "noise")),
        "error": lambda: squared_error(images, TEST.images),
        "constant": lambda: torch.tensor(is_constant(images, TEST.images)),
        "grid": lambda: len(plot_image_grid({"a": images}).axes),
        "tiles": lambda: len(plot_tiles(images, "a").axes),
    }


# These compute with whatever finite numbers they are given, or draw them to their own scale.
OF_ANY_RANGE = {"jacobian", "error", "constant", "tiles"}
# These compute a number for each image; what is NaN stays to be seen.
SHOW_NAN = {"error"}


def of_labels(labels, images=TEST.images):
    """Return name → what is called with these labels; the images are right."""
    calls = {type(attack).__name__: lambda each=attack: each.perturb(CLASSIFIER, images, labels) for attack in ATTACKS}
    calls |= {type(each).__name__: lambda each=each: each.perturb(MAGNET, images, labels) for each in OF_MAGNETS}
    return calls | {
        "HopSkipJump": lambda: HOPS.run(CLASSIFIER, images, labels).success,
        "run": lambda: FGSM(0.1).run(CLASSIFIER, images, labels).success,
        "predicted": lambda: FGSM(0.1).perturb(CLASSIFIER, images, predicted=labels),
        "predicted, from random points": lambda: (
            QUICK["iterated"].__class__(0.1, steps=1, restarts=1).perturb(CLASSIFIER, images, predicted=labels)
        ),
        "judge": lambda: MAGNET.judge(images, labels).labels,
        "check_up": lambda: check_up(CLASSIFIER, images, labels, **QUICK).runs["PGD"].success,
        "loss": lambda: ClassificationLoss()(CLASSIFIER, images, labels, new_generator(0, "none")).detach(),
        "labeled": lambda: LabeledImages(images, labels).labels,
        "confusion": lambda: len(plot_confusion({"a": TEST.labels}, labels, "").axes),
        "answers": lambda: len(plot_confusion({"a": labels}, TEST.labels, "").axes),
    }
