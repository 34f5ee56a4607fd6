"""The judge of numbers: any spelling of a number is that number, and nothing else is one."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from magnet_helpers.attacks import (
    FGSM,
    IFGSM,
    MIFGSM,
    PGD,
    SPSA,
    DetectorAwarePGD,
    RandomNoise,
    Square,
)
from magnet_helpers.contracts import as_count, as_number


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_a_number_of_less_precision_is_the_decimal_that_it_stands_for(value):
    decimal = float(str(np.float32(value))) + 0.0
    for spelt in (np.float32(value), torch.tensor(value, dtype=torch.float32), np.array(value, np.float32)):
        assert repr(as_number("x", spelt)) == repr(decimal)
    assert np.float32(decimal) == np.float32(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_stays_as_it_is_in_any_spelling(value):
    for spelt in (value, np.float64(value), torch.tensor(value, dtype=torch.float64), Fraction(value), Decimal(value)):
        assert repr(as_number("x", spelt)) == repr(value + 0.0)


@given(st.integers(0, 2**62))
def test_a_whole_number_is_exact_in_any_spelling(value):
    for spelt in (value, np.int64(value), torch.tensor(value), Fraction(value), Decimal(value), np.array(value)):
        assert as_count("x", spelt) == value
        assert type(as_count("x", spelt)) is int


@given(
    st.one_of(
        *(st.text(), st.binary(), st.none(), st.booleans(), st.complex_numbers(), st.lists(st.floats())),
        *(st.floats(1, exclude_min=True), st.floats(max_value=0, exclude_max=True), st.just(float("nan"))),
    ),
    st.sampled_from([FGSM, RandomNoise, SPSA, Square, IFGSM, PGD, MIFGSM, DetectorAwarePGD]),
)
def test_what_is_no_epsilon_is_refused_by_name(value, kind):
    with pytest.raises((TypeError, ValueError), match=r"^epsilon must be .*in \[0, 1\], in pixel units, got "):
        kind(value)
