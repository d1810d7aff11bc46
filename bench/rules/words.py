"""A word's bits by the processor's own instructions, for what numba compiles."""

from typing import no_type_check

from numba import njit, types
from numba.extending import intrinsic


@intrinsic
@no_type_check
def _set_bits(_context, word):
    def generate(_, builder, __, values):
        return builder.ctpop(values[0])

    return types.uint64(types.uint64), generate


@intrinsic
@no_type_check
def _trailing_zeros(_context, word):
    def generate(context, builder, _, values):
        return builder.cttz(values[0], context.get_constant(types.boolean, True))

    return types.uint64(types.uint64), generate


@njit(cache=True)
@no_type_check
def ones(word):
    """How many bits are set."""
    return _set_bits(word)


@njit(cache=True)
@no_type_check
def zeros(word):
    """The place of the lowest bit that is set."""
    return _trailing_zeros(word)
