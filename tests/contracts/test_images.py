"""Images that are none: every entry refuses them in the same words, and says the line that mends them."""

import pytest
import torch
from entries import CLASSIFIER, MAGNET, OF_ANY_RANGE, SHOW_NAN, TEST, of_images
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from PIL import Image
from tiny import tiny_classifier

from magnet_helpers.attacks import FGSM
from magnet_helpers.contracts import TooDarkWarning, check_images
from magnet_helpers.inference import predict

X = TEST.images
COLOURS = X.repeat(1, 3, 1, 1)
INK = torch.cat([torch.zeros(6, 3, 28, 28), X], dim=1)  # black, and transparent where nothing is drawn
BROKEN = {value: torch.where(torch.arange(6)[:, None, None, None] == 2, value, X) for value in (torch.nan, torch.inf)}
ENTRIES = sorted(of_images(None))

# What is no tensor of pixels, whatever the network.
KINDS = {
    "a NumPy array": (X.numpy(), "got a ndarray of float32: take torch.from_numpy.images..float"),
    "an array of bytes": ((255 * X).byte().numpy(), "got a ndarray of uint8: take torch.from_numpy.images. / 255"),
    "a list": (X.tolist(), "got a list: take torch.stack"),
    "labelled ones": (TEST, "got a LabeledImages: take its .images"),
    "an image of PIL": (Image.new("L", (28, 28)), 'got a Image: .*convert."L"'),
    "a transparent one": (Image.new("RGBA", (28, 28)), 'got a Image: .*getchannel."A"'),
    "nothing": (None, "got a NoneType"),
    "bytes": ((255 * X).byte(), "got torch.uint8: for bytes, divide by 255, images / 255"),
    "whole numbers": ((255 * X).int(), "got torch.int32: for bytes, divide by 255"),
    "booleans": (X > 0.5, "got torch.bool: take images.float"),
    "complex numbers": (X + 0j, "got torch.complex64: take images.real"),
    "sparse": (X.to_sparse(), "dense tensor, got a torch.sparse_coo one: take images.to_dense"),
    "without numbers": (X.to("meta"), "dense tensor, got a meta one"),
}
RANGES = {
    "bytes as floats": (255 * X, r"got values from 0 to 25\d.*: divide by .* images / 255 for bytes"),
    "digits of scikit-learn": (16 * X, r"got values from 0 to 1\d.*: divide by the largest value"),
    "normalised": ((X - 0.1307) / 0.3081, r"got values from -0.42.* to 2.8.*: if they were normalised, undo that"),
    "from -1": (2 * X - 1, r"got values from -1 to .*\[-1, 1\], take .images \+ 1. / 2"),
    "rounded": (X / X.max() + 1e-6, r"got values from 1e-06 to 1: that is rounding, take images.clamp.0, 1."),
}
SHAPES = {
    "colours": (COLOURS, "these have three colours; make them grey, images.mean"),
    "transparent": (INK, "these have three colours and transparency; .* take images.:, 3:"),
    "colours last": (COLOURS.permute(0, 2, 3, 1), "three colours; .*images.permute.0, 3, 1, 2"),
    "larger": (torch.nn.functional.pad(X, (1, 1, 1, 1)), "resize or crop|made for"),
}
FLAT_ALIKE = {
    "no channels": (X[:, 0], "need an axis of channels, images.:, None"),
    "channels last": (X.permute(0, 2, 3, 1), "channels come last, images.permute.0, 3, 1, 2"),
    "flat": (X.flatten(start_dim=1), r"reshape them, images.reshape\(-1, 1, 28, 28\)"),
}


@pytest.fixture(autouse=True)
def _no_figures():
    yield
    plt.close("all")


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_are_no_pixels_is_refused_everywhere(entry, kind):
    images, message = KINDS[kind]
    if images is None and entry == "defense":
        return  # then it makes its own
    with pytest.raises((TypeError, ValueError), match=f"^images must be .*{message}"):
        of_images(images)[entry]()


@pytest.mark.parametrize("entry", sorted(set(ENTRIES) - OF_ANY_RANGE))
@pytest.mark.parametrize("kind", RANGES)
def test_pixels_of_another_range_are_refused_everywhere(entry, kind):
    images, message = RANGES[kind]
    if entry == "grid" and images.min() < 0:
        assert of_images(images)[entry](), "a change of images is drawn in two colours"
        return
    with pytest.raises(ValueError, match=rf"images must lie in \[0, 1\], {message}"):
        of_images(images)[entry]()


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("kind", SHAPES)
def test_images_of_another_shape_are_refused_with_the_line_that_mends_them(entry, kind):
    images, message = SHAPES[kind]
    if entry == "noise" or (entry in ("grid", "tiles") and images.shape[1] == 1):
        assert of_images(images)[entry]() is not None, "any size is noisy, and drawn"
        return
    if entry in ("defense", "error", "constant"):
        message = "shape"
    with pytest.raises(ValueError, match=message):
        of_images(images)[entry]()


@pytest.mark.parametrize("entry", ["convolutions", "substitute", "labeled", "jacobian", "tiles", "grid"])
@pytest.mark.parametrize("kind", FLAT_ALIKE)
def test_an_axis_that_is_missing_or_elsewhere_is_named(entry, kind):
    images, message = FLAT_ALIKE[kind]
    with pytest.raises(ValueError, match=message):
        of_images(images)[entry]()


@pytest.mark.parametrize("kind", FLAT_ALIKE)
def test_a_network_that_takes_any_axes_gives_the_same_answers(kind):
    assert torch.equal(predict(CLASSIFIER, FLAT_ALIKE[kind][0]), predict(CLASSIFIER, X))


@pytest.mark.parametrize("entry", sorted(set(ENTRIES) - SHOW_NAN - {"judge", "rejections"}))
@pytest.mark.parametrize("value", BROKEN)
def test_a_broken_image_is_refused_everywhere_else(entry, value):
    message = r"images must be finite numbers, got NaN .* in 1 of 6 images, first in number 2: leave such images out"
    with pytest.raises(ValueError, match=message):
        of_images(BROKEN[value])[entry]()


@pytest.mark.parametrize("entry", ENTRIES)
def test_what_is_an_image_all_the_same(entry):
    """Autograd's history, another order in memory, black images."""
    turned = X.transpose(2, 3).contiguous().transpose(2, 3)
    expected = of_images(X.clone())[entry]()
    for images in (X.clone().requires_grad_(), turned):
        got = of_images(images)[entry]()
        if isinstance(got, torch.Tensor):
            torch.testing.assert_close(got, expected)
        assert not getattr(got, "requires_grad", False) or entry in ("noise", "error", "labeled", "jacobian")
    of_images(torch.zeros(6, 1, 28, 28))[entry]()


def test_images_divided_twice_are_warned_of_and_black_ones_are_not(recwarn):
    for dark in (X / 255, torch.full_like(X, 1 / 255)):
        for entry in ("predict", "labeled", "FGSM", "judge"):
            with pytest.warns(TooDarkWarning, match=r"of 6 images is 0.003.* divided by 255 twice: .* images \* 255"):
                of_images(dark)[entry]()
    recwarn.clear()
    for fine in (torch.zeros_like(X), X / 200, X):
        check_images(fine)
    assert not recwarn


def test_networks_of_other_images_go_on_working():
    colours = torch.rand(4, 3, 12, 12)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 10, 12), torch.nn.Flatten())
    assert predict(network, colours).shape == (4,)
    with pytest.raises(ValueError, match=r"grey images in three equal colours are images.expand"):
        predict(network, colours[:, :1])
    doubles = tiny_classifier().double()
    assert torch.equal(predict(doubles, X.double()), predict(tiny_classifier(), X))


@given(
    seed=st.integers(0, 99),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.uint8, torch.int64]),
    shape=st.sampled_from(
        [(6, 1, 28, 28), (6, 28, 28), (6, 784), (6, 28, 28, 1), (28, 28, 6), (6, 2, 28, 14), (4704,)]
    ),
    scale=st.sampled_from([1.0, 255.0, -1.0, 1e30]),
    special=st.sampled_from([None, torch.nan, torch.inf, -torch.inf]),
    entry=st.sampled_from(["predict", "FGSM", "convolutions", "scores", "judge", "jacobian", "labeled", "rejections"]),
)
def test_either_the_right_answer_or_words(seed, dtype, shape, scale, special, entry):
    sound = torch.rand(6, 1, 28, 28, generator=torch.Generator().manual_seed(seed))
    images = (sound * scale).reshape(shape)
    if special is not None:
        images.view(-1)[seed] = special
    try:
        got = of_images(images.to(dtype))[entry]()
    except (TypeError, ValueError) as error:
        assert "got" in str(error) or ": " in str(error)  # noqa: PT017
        return
    assert not got.isnan().any()
    if scale == 1 and special is None and dtype == torch.float32:
        expected = of_images(sound)[entry]()
        assert torch.equal(got.reshape(expected.shape), expected)
    elif special is not None:
        assert entry in ("judge", "rejections")
        assert (got[0] == -1) if entry == "judge" else got[0].all()
    else:
        assert entry == "jacobian", "which takes any finite numbers"


def test_gradients_of_an_attack_are_unchanged_by_history():
    expected = FGSM(0.1).perturb(MAGNET, X)
    assert torch.equal(FGSM(0.1).perturb(MAGNET, X.clone().requires_grad_()), expected)
