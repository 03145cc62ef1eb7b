"""Our generators against Python's own integers, against NumPy, and against published numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_ext.common.random_numbers import pcg64_uniform, read_pcg64, splitmix64_uniform, write_pcg64

MASK = 2**64 - 1
quick = settings(deadline=None, max_examples=50)


def splitmix64(state):
    """The next 64 bits and state, as Steele, Lea & Flood (2014) and Vigna's public-domain C code have it."""
    state = (state + 0x9E3779B97F4A7C15) & MASK
    bits = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & MASK
    return bits ^ (bits >> 31), state


def test_the_reference_itself_gives_the_published_numbers():
    """Vigna's splitmix64.c, seed 1234567 (the list that Rosetta Code publishes)."""
    state, found = 1234567, []
    for _ in range(5):
        bits, state = splitmix64(state)
        found.append(bits)
    assert found == [
        6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821
    ]  # fmt: skip


@quick
@given(st.integers(0, MASK))
def test_splitmix64_is_the_published_generator(seed):
    state, slow = np.array([seed], dtype=np.uint64), seed
    for _ in range(20):
        bits, slow = splitmix64(slow)
        assert splitmix64_uniform(state) == (bits >> 11) / 2**53
        assert int(state[0]) == slow


@pytest.mark.parametrize("seed", [0, MASK, MASK - 0x9E3779B97F4A7C15 + 1, 2**63])
def test_splitmix64_at_the_edges_of_its_state(seed):
    """State 0, the largest, one that wraps to 0, the sign bit."""
    state = np.array([seed], dtype=np.uint64)
    number = splitmix64_uniform(state)
    assert number == (splitmix64(seed)[0] >> 11) / 2**53
    assert 0 <= number < 1
    assert isinstance(number, float)
    assert state.dtype == np.uint64


def test_splitmix64_advances_the_first_number_only():
    state = np.array([5, 6, 7], dtype=np.uint64)
    splitmix64_uniform(state)
    assert state[1:].tolist() == [6, 7]


@quick
@given(st.integers(0, MASK))
def test_pcg64_is_numpy_s_generator_bit_for_bit(seed):
    generator = np.random.default_rng(seed)
    state = read_pcg64(generator)
    assert [pcg64_uniform(state) for _ in range(40)] == generator.random(40).tolist()
    np.testing.assert_array_equal(state, read_pcg64(generator))


@quick
@given(st.integers(0, 2**128 - 1), st.integers(0, 2**127 - 1))
def test_pcg64_from_any_state_and_any_stream(state, stream):
    generator = np.random.Generator(np.random.PCG64())
    whole = generator.bit_generator.state
    whole["state"] = {"state": state, "inc": 2 * stream + 1}
    generator.bit_generator.state = whole
    row = read_pcg64(generator)
    assert [pcg64_uniform(row) for _ in range(10)] == generator.random(10).tolist()


@quick
@given(st.integers(0, MASK), st.integers(0, 20))
def test_a_numpy_generator_goes_on_from_where_ours_stood(seed, n_drawn):
    ours, theirs = np.random.default_rng(seed), np.random.default_rng(seed)
    state = read_pcg64(ours)
    for _ in range(n_drawn):
        pcg64_uniform(state)
    write_pcg64(ours, state)
    theirs.random(n_drawn)
    assert ours.random(5).tolist() == theirs.random(5).tolist()
    assert ours.integers(1000, size=5).tolist() == theirs.integers(1000, size=5).tolist()


def test_what_was_read_and_written_back_is_unchanged():
    generator = np.random.default_rng(8)
    generator.integers(10, dtype=np.uint32)  # leaves half of a number in the generator
    before = generator.bit_generator.state
    write_pcg64(generator, read_pcg64(generator))
    assert generator.bit_generator.state == before
    assert before["has_uint32"] == 1


def test_reading_leaves_the_generator_alone():
    generator = np.random.default_rng(8)
    row = read_pcg64(generator)
    pcg64_uniform(row)
    assert generator.random() == np.random.default_rng(8).random()


@pytest.mark.parametrize("bits", [np.random.MT19937, np.random.Philox, np.random.SFC64])
def test_other_generators_are_refused_by_name(bits):
    with pytest.raises(ValueError, match=f"only PCG64 can be read, got {bits.__name__}"):
        read_pcg64(np.random.Generator(bits(0)))


def test_pcg64dxsm_is_not_taken_for_pcg64():
    with pytest.raises(ValueError, match="PCG64DXSM"):
        read_pcg64(np.random.Generator(np.random.PCG64DXSM(0)))


def test_our_uniform_numbers_are_uniform():
    """A chi-square test over 100 bins, at a level of one in a million."""
    state = np.array([2024], dtype=np.uint64)
    counts = np.bincount([int(splitmix64_uniform(state) * 100) for _ in range(50_000)], minlength=100)
    statistic = ((counts - 500) ** 2 / 500).sum()
    assert 41 < statistic < 180  # chi2(99): 1e-6 on the left is 43.0, on the right 179
