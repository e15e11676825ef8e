"""The map of methods, as jobs."""

import re

from .conftest import TINY


def test_every_method_answers_along_every_axis(clone):
    clone.configure(**TINY | {"map": {"strain": [], "baselines": ["spglib"]}})
    done = clone.run("-n", "map", "--configfile", "my.yaml")
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", text, flags=re.M))
    assert (jobs["build_map_cells"], jobs["answer_with_lattice"]) == ("5", "5")
    assert (jobs["answer_with_networks"], jobs["answer_with_spglib"]) == ("10", "5")
    # networks for all types of defects at once
    assert (jobs["train"], jobs["draw_map"], jobs["write_map_page"]) == ("2", "1", "1")


def test_networks_trained_for_the_map_alone(clone):
    axes = {"train_hosts": [2, 4], "split": ["formula", "element"], "relaxation": ["chgnet"]}
    others = ("displacement", "temperature", "concentration", "supercells", "alloy", "strain")
    empty: dict[str, list] = {axis: [] for axis in others}
    clone.configure(**TINY | {"map": {**empty, **axes, "baselines": []}})
    # two poolings; the split of the campaign is trained anyway
    for entries, train, for_map in ((1, "2", "6"), ("all", "1", "3")):
        chosen = f"training={{'entries_per_job': {entries!r}}}"
        done = clone.run("-n", "map", "--configfile", "my.yaml", "--config", chosen)
        text = done.stdout + done.stderr
        assert done.returncode == 0, text
        jobs = dict(re.findall(r"^(\w+) +(\d+)$", text, flags=re.M))
        assert (jobs["train"], jobs["train_for_map"]) == (train, for_map)
        assert (jobs["answer_with_networks"], jobs["relax_map_cells"]) == ("6", "1")


def test_a_baseline_without_its_environment(clone):
    clone.configure(**TINY | {"map": {"baselines": ["matid"]}})
    done = clone.run("-n", "map", "--configfile", "my.yaml")
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert "map.baselines: matid has no environment yet; run `make env-baselines`" in text
