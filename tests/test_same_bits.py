"""The same bits (contract 1.5): a row's result depends on the row alone, byte for byte.

Not on what lies beside it, the number of threads, the axis, the layout, the level of instructions;
and not on the machine: `golden.json`.
"""

import golden
import numpy as np
import operations
import pytest
from layouts import LAYOUTS

import softmax_ext

TYPES = [np.float32, np.float64]
FUNCTIONS, OPERATIONS = operations.DISTINCT, operations.OPERATIONS
LEVELS = softmax_ext.show_config(mode="dicts")["isa_available"]

# Around the sizes at which the way through a row changes: vectors, short rows, blocks and pieces.
BORDERS = [511, 512, 513, 1023, 1024, 1025, 2047, 2048, 2049, 4095, 4096, 4097, 4160, 8191, 8192, 8193]
LENGTHS = [*range(1, 301), *BORDERS, 12_287, 12_289, 16_385, 20_481]


def rows(count, length, dtype, seed=0):
    """Return rows of every kind: any scale and offset, ties, infinities, NaN."""
    rng = np.random.default_rng([seed, count, length])
    x = rng.normal(size=(count, length))
    kinds = [
        lambda r: r,
        lambda r: r * 30,
        lambda r: r + 1000,
        lambda r: np.round(r),
        lambda r: r * 1e6,
        lambda r: np.where(rng.random(length) < 0.3, -np.inf, r),
        lambda r: r * 1e-3 + 1e7,
        lambda r: r * 1e30,
        lambda r: np.where(np.arange(length) == length // 2, np.nan, r),
        lambda r: r * 0 + 0.1,
        lambda r: np.where(np.arange(length) == length // 3, np.inf, r),
        lambda r: np.where(np.arange(length) == length // 2, r + 60, r),
        lambda r: np.full(length, -np.inf),
        lambda r: r * 1e-40,
    ]
    for i in range(count):
        x[i] = kinds[i % len(kinds)](x[i])
    return x.astype(dtype)


def arguments(name, x):
    """Return the function's inputs: x, or y and a vector made of x."""
    if not OPERATIONS[name].forward:
        return (x,)
    with np.errstate(all="ignore"):
        y = np.exp(-np.abs(x)) if OPERATIONS[name].forward == "softmax" else -np.abs(x)
    return y, x[..., ::-1].copy()


def call(name, arrays, axis=-1, **kwargs):
    return np.asarray(getattr(softmax_ext, name)(*arrays, axis, **kwargs))


def assert_same(got, want, what=""):
    got, want = np.ascontiguousarray(got), np.ascontiguousarray(want)
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    if got.tobytes() != want.tobytes():
        bits = f"u{got.itemsize}"
        where = np.argwhere(np.atleast_1d(got.view(bits) != want.view(bits)))
        first = tuple(where[0])
        pair = np.atleast_1d(got)[first], np.atleast_1d(want)[first]
        pytest.fail(f"{len(where)} of {got.size} elements differ, first at {first}: {pair} {what}")


every_function = pytest.mark.parametrize("name", FUNCTIONS)
every_type = pytest.mark.parametrize("dtype", TYPES)


@every_type
@every_function
def test_alone_and_in_any_batch(name, dtype, isa):
    for length in LENGTHS:
        arrays = arguments(name, rows(33, length, dtype))
        batch = call(name, arrays)
        for i in (0, 7, 13, 32):
            assert_same(call(name, [a[i] for a in arrays]), batch[i], f"length {length}, row {i}")
        for some in (slice(0, 2), slice(3, 8), slice(9, 17), slice(1, 33)):
            assert_same(call(name, [a[some] for a in arrays]), batch[some], f"length {length}")


@every_type
@every_function
def test_every_axis(name, dtype, isa):
    """Rows that lie side by side, any number of them, against rows that lie alone."""
    for length in [*range(1, 40), 63, 64, 65, 127, 129, 300, 1025, 4096, 4097, 8193]:
        for beside in (1, 2, 3, 5, 8, 17, 33, 70):
            if length * beside > 70_000:
                continue
            arrays = arguments(name, rows(beside, length, dtype))
            want = call(name, arrays)
            got = call(name, [np.ascontiguousarray(a.T) for a in arrays], 0)
            assert_same(got.T if OPERATIONS[name].elementwise else got, want, f"{beside} rows of {length}")
        arrays = arguments(name, rows(6, length, dtype))
        want = call(name, arrays)
        cubes = [np.ascontiguousarray(a.reshape(2, 3, length).swapaxes(1, 2)) for a in arrays]
        got = call(name, cubes, 1)
        want = want.reshape(2, 3, *want.shape[1:])
        assert_same(
            got.swapaxes(1, 2) if OPERATIONS[name].elementwise else got, want, f"middle axis, {length}"
        )


@every_type
@every_function
def test_rows_over_several_axes(name, dtype, isa):
    """Such a row counts in the C order of its axes, whatever their order in memory or in `axis`."""
    for shape in [(2, 3, 5), (3, 8, 40), (5, 70, 70), (40, 2, 130)]:
        x = rows(shape[0] * shape[1], shape[2], dtype).reshape(shape)
        arrays = arguments(name, x)
        flat = [np.ascontiguousarray(a.swapaxes(0, 1)).reshape(shape[1], -1) for a in arrays]
        want = call(name, flat)
        for axis in ((0, 2), (2, 0), (-1, 0)):
            for order in "CF":
                got = call(name, [np.array(a, order=order) for a in arrays], axis)
                if OPERATIONS[name].elementwise:
                    got = got.swapaxes(0, 1).reshape(shape[1], -1)
                assert_same(got, want, f"{shape}, axis {axis}, order {order}")
        want = call(name, [a.ravel() for a in arrays])
        for order in "CF":
            got = call(name, [np.array(a, order=order) for a in arrays], None)
            assert_same(got.ravel() if got.ndim else got, want, f"{shape}, all axes, order {order}")


@every_type
@every_function
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout(name, dtype, layout, isa):
    for shape in [(1, 1), (5, 3), (9, 10), (4, 33), (33, 64), (3, 65), (20, 130), (2, 4097), (2, 8300)]:
        arrays = arguments(name, rows(*shape, dtype))
        strange = [LAYOUTS[layout](a) for a in arrays]
        for axis in (-1, 0):
            want = call(name, arrays, axis)
            assert_same(call(name, strange, axis), want, f"{shape}, axis {axis}")
            # One strange operand beside plain ones, and a strange output.
            assert_same(call(name, [*strange[:1], *arrays[1:]], axis), want, f"{shape}, axis {axis}")
            out = LAYOUTS[layout](np.zeros_like(want))
            call(name, arrays, axis, out=out)
            assert_same(out.astype(dtype), want, f"{shape}, axis {axis}, out")


@every_type
@pytest.mark.parametrize("name", operations.DISTINCT_ELEMENTWISE)
def test_in_place_and_overlapping(name, dtype, isa):
    for shape in [(1, 1), (9, 3), (9, 10), (70, 17), (5, 64), (5, 65), (3, 4097), (2, 9000)]:
        arrays = arguments(name, rows(*shape, dtype))
        size = arrays[0].size
        for axis in (-1, 0):
            want = call(name, arrays, axis)
            for victim in range(len(arrays)):
                for shift in (0, 1, shape[1], -1, -shape[1]):
                    buffer = np.zeros(size + 2 * shape[1], dtype)
                    place = slice(shape[1], shape[1] + size)
                    target = slice(place.start + shift, place.stop + shift)
                    buffer[place] = arrays[victim].ravel()
                    mixed = list(arrays)
                    mixed[victim] = buffer[place].reshape(shape)
                    out = buffer[target].reshape(shape)
                    call(name, mixed, axis, out=out)
                    assert_same(out, want, f"{shape}, axis {axis}, out {shift} on from input {victim}")


@every_type
@every_function
@pytest.mark.parametrize("shape", [(1, 400_003), (3, 100_001), (7, 40_960), (50, 8193), (2000, 101),
                                   (100_003, 3), (40, 5000), (1, 4096 * 40)])  # fmt: skip
def test_any_number_of_threads(name, dtype, shape, threads, isa):
    """Many short rows, few long ones that are cut, and what lies between."""
    arrays = arguments(name, rows(*shape, dtype))
    threads(1)
    want = call(name, arrays)
    for count in (2, 3, 5):
        threads(count)
        assert_same(call(name, arrays), want, f"{count} threads")
        columns = [np.asfortranarray(a) for a in arrays]  # the same rows, side by side in memory
        assert_same(call(name, columns), want, f"{count} threads, columns")
    # Each row alone may be cut differently.
    for i in (0, shape[0] - 1):
        assert_same(call(name, [a[i] for a in arrays]), want[i], f"row {i} alone")


@every_type
@every_function
def test_every_level(name, dtype):
    former = softmax_ext._core._set_isa(LEVELS[0])
    try:
        for length in LENGTHS:
            arrays = arguments(name, rows(28, length, dtype, seed=1))
            softmax_ext._core._set_isa(LEVELS[0])
            want = call(name, arrays), call(name, arrays, 0)
            for level in LEVELS[1:]:
                softmax_ext._core._set_isa(level)
                assert_same(call(name, arrays), want[0], f"{level} and {LEVELS[0]}, length {length}")
                assert_same(call(name, arrays, 0), want[1], f"{level} and {LEVELS[0]}, {length} columns")
    finally:
        softmax_ext._core._set_isa(former)


def test_levels_are_really_different():
    """`_set_isa` says what was set before, and refuses what is not there."""
    former = softmax_ext.show_config(mode="dicts")["isa"]
    try:
        for level in LEVELS:
            assert softmax_ext._core._set_isa(level) == former
            former = softmax_ext.show_config(mode="dicts")["isa"]
            assert former == level
    finally:
        softmax_ext._core._set_isa(former)
    with pytest.raises(ValueError, match="pdp11"):
        softmax_ext._core._set_isa("pdp11")
    assert softmax_ext.show_config(mode="dicts")["isa"] == former


def test_dtype_and_integers_take_the_same_way():
    x = np.arange(-300, 300).reshape(5, 120)
    want = softmax_ext.softmax(x.astype(float))
    assert_same(softmax_ext.softmax(x), want)
    assert_same(softmax_ext.softmax(x.astype(np.float32), dtype=float), want)
    assert_same(softmax_ext.softmax(x, dtype=np.float32), want.astype(np.float32))


@every_type
@every_function
@pytest.mark.parametrize("length", [81, 1000, 4097])
def test_few_long_rows_side_by_side(name, dtype, length, isa):
    """Lines of one element of each row, shorter than a register or a little longer, one after the other in memory."""
    for width in (2, 3, 7, 9, 12, 17, 25, 31):
        arrays = arguments(name, rows(2 * width, length, dtype, seed=width))
        want = call(name, arrays).reshape(2, width, -1).swapaxes(1, 2)
        lines = [np.ascontiguousarray(a.reshape(2, width, length).swapaxes(1, 2)) for a in arrays]
        got = call(name, lines, 1).reshape(want.shape)
        assert_same(got, want, f"{width} rows")
        for k, a in enumerate(arrays):
            mixed = [*lines[:k], a.reshape(2, width, length).swapaxes(1, 2), *lines[k + 1 :]]
            assert_same(
                call(name, mixed, 1).reshape(want.shape), want, f"{width} rows, argument {k} row by row"
            )
        if OPERATIONS[name].elementwise:
            out = np.empty((2, width, length), dtype).swapaxes(1, 2)
            assert_same(call(name, lines, 1, out=out), want, f"{width} rows, result row by row")
            call(name, lines, 1, out=lines[0])
            assert_same(lines[0], want, f"{width} rows, in place")


# The golden answer --------------------------------------------------------------------------------


def test_golden_inputs_are_what_their_description_says():
    def splitmix64(state):
        state = state * 0x9E3779B97F4A7C15 % 2**64
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        state = (state ^ state >> 27) * 0x94D049BB133111EB % 2**64
        return state ^ state >> 31

    assert splitmix64(1) == 0xE220A8397B1DCDAF  # the generator's known first number
    want = [[(splitmix64(2 * 2**40 + k + 1) >> 40) - 2**23 for k in (0, 1)]]
    assert golden.integers(2, (1, 2)).tolist() == want
    for case in golden.cases():
        arrays = golden.inputs(*case[:1], "float64", case[2], (3, 50))
        for a in arrays:
            np.testing.assert_array_equal(a, a.astype(np.float32), err_msg=str(case))


def test_golden_results_hold_no_nan():
    for case in golden.cases():
        result = golden.results(*case, (19, 65))
        assert not np.isnan(result).any(), case


def test_golden_answer(isa):
    got = {" ".join(case): golden.digest(*case) for case in golden.cases()}
    assert got == golden.read()


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmax_vjp"])
@pytest.mark.parametrize("length", [1000, 999, 9000, 3, 13])
def test_results_too_large_for_the_cache(name, dtype, length):
    """They are written past it, from any alignment on."""
    count = 34 * 2**20 // (length * np.dtype(dtype).itemsize)
    arrays = arguments(name, np.tile(rows(14, length, dtype), (count // 14 + 1, 1))[:count])
    parts = [call(name, [a[i : i + 97] for a in arrays]) for i in range(0, count, 97)]
    expected = np.concatenate(parts).tobytes()
    memory = np.empty(count * length + 16, dtype)
    to_line = -memory.ctypes.data % 64 // memory.itemsize
    for offset in (0, 1, 5, to_line):
        out = memory[offset : offset + count * length].reshape(count, length)
        memory[offset + count * length :] = 7
        memory[:offset] = 7
        assert call(name, arrays, out=out).tobytes() == expected
        assert (memory[:offset] == 7).all()
        assert (memory[offset + count * length :] == 7).all()


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmax_vjp"])
@pytest.mark.parametrize("length", [21, 700])
def test_columns_too_large_for_the_cache(name, dtype, length, isa):
    """The same of rows side by side, which are cut where a line of the cache begins; two batches of them."""
    line = 64 // np.dtype(dtype).itemsize
    count = 17 * 2**20 // (length * 64) * line + line  # a multiple of a line, and the least more than 32 MiB
    few = arguments(name, rows(97, length, dtype))
    want = call(name, few).T
    arrays = [np.tile(a.T, (2, 1, count // 97 + 1))[..., :count].copy() for a in few]
    for offset in (0, 1, line // 2 + 1):
        memory = np.full(2 * length * count + 2 * line, 7, dtype)
        out = memory[offset : offset + 2 * length * count].reshape(2, length, count)
        call(name, arrays, 1, out=out)
        for i in range(0, count, 97):
            part = out[..., i : i + 97]
            assert_same(
                part, np.broadcast_to(want[:, : part.shape[-1]], part.shape), f"offset {offset}, column {i}"
            )
        assert (memory[:offset] == 7).all()
        assert (memory[offset + 2 * length * count :] == 7).all()
