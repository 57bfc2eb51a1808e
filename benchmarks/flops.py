"""FLOPs of products and convolutions in a function, counted before it is compiled."""

import math
from collections.abc import Callable
from typing import Any

import jax
from jax.extend import core


def flops_of(function: Callable, *args: Any) -> int:
    """Twice the multiply-adds of all matrix products and convolutions. The body of a `lax.scan` counts as
    often as it runs, that of a `while` once; of the branches of a condition the dearest counts.

    Args: args, arrays or their shapes.
    """
    return _count(jax.make_jaxpr(function)(*args).jaxpr)


def _count(jaxpr: core.Jaxpr) -> int:
    total = 0
    for equation in jaxpr.eqns:
        name, params = equation.primitive.name, equation.params
        if name == "dot_general":
            (contracted, _), _ = params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            total += 2 * equation.outvars[0].aval.size * math.prod(shape[i] for i in contracted)
        elif name == "conv_general_dilated":
            kernel, outputs = equation.invars[1].aval, params["dimension_numbers"].rhs_spec[0]
            total += 2 * equation.outvars[0].aval.size * kernel.size // kernel.shape[outputs]
        elif name == "cond":
            total += max(_count(branch.jaxpr) for branch in params["branches"])
        else:
            times = params["length"] if name == "scan" else 1
            total += times * sum(map(_count, _inner(params)))
    return total


def _inner(params: dict) -> list[core.Jaxpr]:
    """The programs that an operation runs."""
    lists = (value if isinstance(value, tuple | list) else (value,) for value in params.values())
    closed = (getattr(value, "jaxpr", value) for values in lists for value in values)
    return [value for value in closed if isinstance(value, core.Jaxpr)]
