"""MagNet Lab's helpers: what the lessons share, in the order in which they meet it.

This is the table of contents. A name is imported when it is first asked for, so that counting needs no plots and
drawing no networks. `__init__.pyi` beside this file says the same to type checkers and editors. Asked for by module are
the checks of a learner's answers (`magnet_helpers.checks`), sliders (`panels`), the paper's tables, its grid and other
studies (`study`), and the attacks beyond these two (`attacks`).
"""

from importlib import import_module

_CONTENTS = {
    "lab.lessons": "start_lesson",
    "lab.lab": "Lab PAPER_ATTACK",
    "lab.budget": "get_budget",
    "data": "LabeledImages ImageData load_images",
    "models": "ConvClassifier ConvAutoencoder StackedAutoencoder ContractiveAutoencoder",
    "losses": "ClassificationLoss ReconstructionLoss DenoisingLoss ContractiveLoss add_noise squared_error",
    "jacobian": "jacobian_frobenius_squared sigmoid_layer_frobenius_squared",
    "seeds": "initial_weights_from new_generator",
    "training": "TrainingConfig fit",
    "inference": "apply_model is_constant predict",
    "attacks": "FGSM PGD Knowledge",
    "defenses": "NO_REFORMER VANILLA denoising stacked contractive MAGNETS_OWN ReformedClassifier",
    "intervals": "Accuracy difference estimate",
    "evaluation": "evaluate_accuracy evaluate_defense suspicions",
    "detectors": "DivergenceDetector ReconstructionDetector choose_threshold roc",
    "magnet": "MagNet",
    "robustness": "check_up",
    "plotting": "show_figure plot_image_grid plot_tiles plot_history plot_confusion plot_accuracy_curves"
    " plot_comparison plot_differences plot_scores plot_rocs plot_manifold plot_workflow",
}
_HOMES = {name: module for module, names in _CONTENTS.items() for name in names.split()}

__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    """Import a name's module when the name is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
