"""The model of floating-point execution that the bounds assume, and what one sum can lose in it.

Every sum, product and quotient is rounded with a relative error of at most u, or loses at most
`tiny` where it or an operand is flushed to zero. A sum of n terms is a binary tree of additions in
any order and grouping, with or without fused multiply-add, over the products of the stored weights
with the inputs. Winograd, FFT and Strassen-like forms add other terms and are outside; so are TF32,
BF16 and FP16 accumulation.

Source: Higham 2002, Accuracy and Stability of Numerical Algorithms, ch. 3 and 4.
"""

from __future__ import annotations

from dataclasses import dataclass

# What optimisers may do to a stored coefficient before it meets its input: fold a scale before and
# after the layer, dequantize, transform; each costs one rounding. And the product itself.
FACTOR_ROUNDINGS = 5
# Of a bias, a tensor that is added in the same loop, a cleared accumulator, a last conversion.
_SPARE_ADDITIONS = 8


@dataclass(frozen=True)
class Arithmetic:
    """One floating-point format.

    Attributes:
        unit: u, half the distance from 1 to the next number.
        tiny: smallest positive normal number.
        largest: values stay below this, or the bound is refused.
    """

    unit: float
    tiny: float
    largest: float

    def sum_factors(self, terms: int) -> tuple[float, float]:
        """(a, c) such that a sum s of products with sum of absolute values S errs by a S + c |s|.

        No partial sum exceeds (S + |s|) / 2: the positive terms add up to P, the negative ones to
        -Q, P + Q = S, |P - Q| = |s|, and a partial sum lies in [-Q, P]. With n additions, each off
        by u times its own result, and products off by rho relatively, the total error T satisfies
        T <= rho S + n u ((S + |s|) / 2 + T).

        Raises:
            ValueError: so many terms that the format cannot bound them.
        """
        rho = (1.0 + self.unit) ** FACTOR_ROUNDINGS - 1.0 + 2.0**-53
        additions = (terms + _SPARE_ADDITIONS) * self.unit
        if additions > 0.125:
            raise ValueError(f"a sum of {terms} terms is too long for a bound")
        theta = additions / (1.0 - additions)
        # rho S + theta ((S + |s|) / 2 + rho S)
        return rho + theta * (0.5 + rho), 0.5 * theta


FLOAT32 = Arithmetic(2.0**-24, 2.0**-126, 2.0**100)
FLOAT64 = Arithmetic(2.0**-53, 2.0**-1022, 2.0**900)
