"""Random numbers that a compiled loop and plain Python draw alike, bit for bit.

A generator is a row of unsigned 64-bit integers, advanced in place, so that a compiled loop can carry thousands of
them:

    splitmix64    uint64 [1]    Steele, Lea & Flood (2014): small and fast; our own agents and grid worlds draw from it
    pcg64         uint64 [4]    O'Neill (2014), PCG XSL-RR 128/64: NumPy's default generator, from which Gymnasium's
                                environments draw; the row is (state high, state low, increment high, increment low)

Both give the number in [0, 1) that ``numpy.random.Generator.random`` makes of 64 bits: the upper 53, over 2^53.
"""

import numpy as np
import numpy.typing as npt

from sb3_ext.common.compiling import inlined

RandomState = npt.NDArray[np.uint64]

GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, odd
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_PCG_HIGH, _PCG_LOW = np.uint64(0x2360ED051FC65DA4), np.uint64(0x4385DF649FCCF645)  # the 128-bit multiplier
_LOW_32 = np.uint64(0xFFFFFFFF)
_0, _1, _11, _27, _30, _31, _32, _58, _63, _64 = (
    np.uint64(number) for number in (0, 1, 11, 27, 30, 31, 32, 58, 63, 64)
)
_2_TO_MINUS_53 = 2.0**-53


@inlined
def splitmix64_uniform(state: RandomState) -> float:
    """The next number of a splitmix64 generator.

    Args:
        state: uint64 [1] or longer; the first is advanced in place.

    Returns:
        A float64 in [0, 1).

    Example:
        >>> splitmix64_uniform(np.zeros(1, np.uint64))
        0.8833108082136426
    """
    state[0] += GOLDEN_GAMMA
    bits = state[0]
    bits = (bits ^ (bits >> _30)) * _MIX_1
    bits = (bits ^ (bits >> _27)) * _MIX_2
    bits ^= bits >> _31
    return (bits >> _11) * _2_TO_MINUS_53


@inlined
def pcg64_uniform(state: RandomState) -> float:
    """The next number of a PCG64 generator: that of ``numpy.random.Generator(PCG64).random()``.

    Args:
        state: uint64 [4], as ``read_pcg64`` gives it; the first two are advanced in place.

    Returns:
        A float64 in [0, 1).

    Example:
        >>> generator = np.random.default_rng(0)
        >>> pcg64_uniform(read_pcg64(generator)) == generator.random()
        True
    """
    high, low = state[0], state[1]
    # (high, low) * multiplier modulo 2^128, by 32-bit halves
    low_0, low_1 = low & _LOW_32, low >> _32
    times_0, times_1 = _PCG_LOW & _LOW_32, _PCG_LOW >> _32
    middle = low_1 * times_0 + ((low_0 * times_0) >> _32)
    carry = (middle >> _32) + ((low_0 * times_1 + (middle & _LOW_32)) >> _32)
    new_high = high * _PCG_LOW + low * _PCG_HIGH + low_1 * times_1 + carry
    new_low = low * _PCG_LOW
    low = new_low + state[3]
    high = new_high + state[2] + (_1 if low < new_low else _0)
    state[0], state[1] = high, low
    turn = high >> _58
    bits = high ^ low
    bits = (bits >> turn) | (bits << ((_64 - turn) & _63))
    return (bits >> _11) * _2_TO_MINUS_53


def read_pcg64(generator: np.random.Generator) -> RandomState:
    """The state of a NumPy generator, uint64 [4].

    Raises:
        ValueError: If its bit generator is not PCG64.
    """
    state = generator.bit_generator.state
    if state["bit_generator"] != "PCG64":
        raise ValueError(f"only PCG64 can be read, got {state['bit_generator']}")
    numbers = (state["state"]["state"], state["state"]["inc"])
    return np.array([half for number in numbers for half in divmod(number, 2**64)], dtype=np.uint64)


def write_pcg64(generator: np.random.Generator, state: RandomState) -> None:
    """Puts a state, as ``read_pcg64`` gives it, back into a generator; the inverse of ``read_pcg64``."""
    whole = dict(generator.bit_generator.state)
    high, low = int(state[0]), int(state[1])
    whole["state"] = {"state": (high << 64) + low, "inc": (int(state[2]) << 64) + int(state[3])}
    generator.bit_generator.state = whole
