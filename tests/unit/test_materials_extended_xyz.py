"""Frames are read back with the same bits and types, by ASE and by us."""

import io

import ase.io
import numpy as np
import pytest
from ase.calculators.calculator import all_properties
from hypothesis import given, settings
from hypothesis import strategies as st

from defectpool.materials.extended_xyz import RESERVED, read_frames, write_frame

reals = st.floats(allow_nan=False, allow_infinity=False, width=64)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
words = st.sampled_from(["T", "F", "True", "1MoS2-1", "1_000", "1e5", "nan", "", '"', "\\"])
values = st.one_of(st.booleans(), st.integers(-(2**62), 2**62), reals, texts, words)
KEPT_FOR_CALCULATORS = {*all_properties, "virial"}  # ASE moves these elsewhere
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True).filter(
    lambda key: key not in RESERVED | KEPT_FOR_CALCULATORS | {"uid"}
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    sites=st.lists(st.tuples(st.integers(1, 118), reals, reals, reals), min_size=1, max_size=5),
    lengths=st.lists(reals, min_size=9, max_size=9),
    pbc=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    info=st.dictionaries(names, values, max_size=5),
)
def test_frames_come_back_exactly(sites, lengths, pbc, info) -> None:
    numbers = np.array([site[0] for site in sites])
    positions = np.array([site[1:] for site in sites])
    cell = np.array(lengths).reshape(3, 3)
    file = io.StringIO()
    for _ in range(2):
        write_frame(file, numbers, positions, cell, pbc, info)
    text = file.getvalue()

    for frame in read_frames(io.StringIO(text)):
        assert (frame.numbers == numbers).all()
        assert frame.positions.tobytes() == positions.tobytes()
        assert frame.cell.tobytes() == cell.tobytes()
        assert frame.pbc == pbc
        assert frame.info == info
        assert [type(v) for v in frame.info.values()] == [type(v) for v in info.values()]

    frames = ase.io.read(io.StringIO(text), index=":", format="extxyz")
    assert len(frames) == 2
    for atoms in frames:
        assert (atoms.numbers == numbers).all()
        assert atoms.positions.tobytes() == positions.tobytes()
        assert atoms.cell.array.tobytes() == cell.tobytes()
        assert tuple(atoms.pbc) == pbc
        for key, value in info.items():
            assert atoms.info[key] == value
            assert isinstance(atoms.info[key], str) == isinstance(value, str)


def test_names_that_the_format_uses_are_refused() -> None:
    for name in ("Lattice", "pbc", "two words", "1st", ""):
        with pytest.raises(ValueError, match="extended XYZ"):
            write_frame(
                io.StringIO(), np.array([1]), np.zeros((1, 3)), np.eye(3), (1, 1, 0), {name: 1}
            )


def test_a_cut_file_is_noticed() -> None:
    file = io.StringIO()
    write_frame(file, np.array([42, 16]), np.ones((2, 3)), np.eye(3), (True, True, False), {"a": 1})
    text = file.getvalue()
    for end in (len(text) // 2, text.rindex("\n", 0, -1), len(text) - 12):
        with pytest.raises(ValueError):
            list(read_frames(io.StringIO(text[:end])))
