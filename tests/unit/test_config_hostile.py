"""Configurations that cannot be meant: one line for each mistake, with file, line and key."""

import re
import resource
import time
from pathlib import Path

import pytest
import yaml

from defectpool.config import Config, load
from defectpool.config.loading import check_file
from defectpool.config.renamed import RENAMED
from defectpool.errors import DefectpoolError

HUGE = "9" * 5000
BOMB = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
)
MAPPING_BOMB = "\n".join(
    ["a0: &a0 {x: 1, y: 1}"]
    + [f"a{n}: &a{n} {{{', '.join(f'k{i}: *a{n - 1}' for i in range(9))}}}" for n in range(1, 12)]
)

# Text of the file, and what its one line names: the line of the file, the key, a part of the rest.
CASES = [
    # a key that is not there
    ("suprcells: [2x2]", 1, "suprcells", "did you mean supercells"),
    ("trainning: {}", 1, "trainning", "did you mean training"),
    ("training:\n  epocs: 2", 2, "training.epocs", "did you mean epochs"),
    ("training:\n  fold: 2", 2, "training.fold", "did you mean folds"),
    ("training:\n  learning-rate: 0.1", 2, "training.learning-rate", "did you mean learning_rate"),
    ("graph:\n  radus: 8", 2, "graph.radus", "did you mean radius"),
    ("network:\n  hiden: 8", 2, "network.hiden", "did you mean hidden"),
    ("materials:\n  sorce: embedded", 2, "materials.sorce", "did you mean source"),
    ("structures:\n  ratle: 0.1", 2, "structures.ratle", "did you mean rattle"),
    ("results:\n  bootstap: 200", 2, "results.bootstap", "did you mean bootstrap"),
    ("scan:\n  zzz: 1", 2, "scan.zzz", "config/README.md"),
    ("1: 2", 1, "1", "unknown key"),
    ("graph:\n  true: 2", 2, "graph.true", "unknown key"),
    ("epochs: 3", 1, "epochs", "unknown key"),
    # a type that cannot be
    ("training:\n  epochs: true", 2, "training.epochs", "whole number"),
    ("training:\n  epochs: 2.5", 2, "training.epochs", "whole number"),
    ("training:\n  epochs: many", 2, "training.epochs", "whole number"),
    ("training:\n  epochs: [3]", 2, "training.epochs", "whole number"),
    ("training:\n  epochs: {a: 3}", 2, "training.epochs", "whole number"),
    ("training:\n  epochs:", 2, "training.epochs", "got nothing"),
    ("training:\n  epochs: 2024-01-01", 2, "training.epochs", "whole number"),
    ("training:\n  epochs: .nan", 2, "training.epochs", "finite"),
    ("training:\n  learning_rate: fast", 2, "training.learning_rate", "a number"),
    ("training:\n  learning_rate: true", 2, "training.learning_rate", "a number"),
    ("training:\n  learning_rate: .inf", 2, "training.learning_rate", "finite"),
    ("graph:\n  radius: .nan", 2, "graph.radius", "finite"),
    ("graph:\n  radius: 8 Å", 2, "graph.radius", "a number"),
    ("graph:\n  compression: 2", 2, "graph.compression", "true or false"),
    ("graph:\n  compression: maybe", 2, "graph.compression", "true or false"),
    ("training:", 1, "training", "section of keys (got nothing)"),
    ("training: 5", 1, "training", "section of keys"),
    ("training: [epochs]", 1, "training", "section of keys"),
    ("training: epochs", 1, "training", "section of keys"),
    ("supercells:", 1, "supercells", "a list"),
    ("supercells: 2x2", 1, "supercells", "a list"),
    ("poolings: mean", 1, "poolings", "a list"),
    ("poolings: [3]", 1, "poolings.0", "text"),
    ("convolutions: {}", 1, "convolutions", "a list"),
    ("materials:\n  path: 5", 2, "materials.path", "text"),
    ("materials:\n  select: [a]", 2, "materials.select", "text"),
    ("materials:\n  only_elements: Mo", 2, "materials.only_elements", "a list"),
    ("scan:\n  track: perhaps", 2, "scan.track", "true or false"),
    ("shards: some", 1, "shards", "whole number"),
    ("defects: {vacancy: 1}", 1, "defects", "a list"),
    # out of bounds
    ("training:\n  epochs: 0", 2, "training.epochs", "at least 1"),
    ("training:\n  epochs: -3", 2, "training.epochs", "at least 1"),
    ("training:\n  epochs: 1000000000", 2, "training.epochs", "at most"),
    (f"training:\n  epochs: 1{'0' * 400}", 2, "training.epochs", "at most"),
    ("training:\n  folds: 1", 2, "training.folds", "at least 2"),
    ("training:\n  folds: 100000", 2, "training.folds", "at most 1000"),
    ("training:\n  seed: -1", 2, "training.seed", "at least 0"),
    ("training:\n  seed: 1.0e+30", 2, "training.seed", "smaller whole number"),
    ("training:\n  seed: 9223372036854775808", 2, "training.seed", "at most"),
    ("training:\n  learning_rate: 0", 2, "training.learning_rate", "greater than 0"),
    ("training:\n  learning_rate: 1.0e+30", 2, "training.learning_rate", "at most 1"),
    ("training:\n  validation: 0.5", 2, "training.validation", "less than 0.5"),
    ("training:\n  batch_size: 1", 2, "training.batch_size", "at least 2"),
    ("training:\n  weight_decay: -1", 2, "training.weight_decay", "at least 0"),
    ("graph:\n  radius: 1.0e-9", 2, "graph.radius", "at least 1"),
    ("graph:\n  radius: 1.0e+9", 2, "graph.radius", "at most 20"),
    ("graph:\n  radius: -8", 2, "graph.radius", "at least 1"),
    ("graph:\n  max_neighbors: 100000", 2, "graph.max_neighbors", "at most 1000"),
    ("graph:\n  distance_tolerance: 0", 2, "graph.distance_tolerance", "greater than 0"),
    ("network:\n  width: 100000000", 2, "network.width", "at most 1024"),
    ("network:\n  hidden: 0", 2, "network.hidden", "at least 1"),
    ("network:\n  gaussians: 1", 2, "network.gaussians", "at least 2"),
    ("network:\n  n_convolutions: 500", 2, "network.n_convolutions", "at most 20"),
    ("materials:\n  limit: 100000000000000", 2, "materials.limit", "at most"),
    ("materials:\n  limit: 0", 2, "materials.limit", "at least 1"),
    ("materials:\n  max_ehull: -1000", 2, "materials.max_ehull", "at least -10"),
    ("materials:\n  min_species: 101", 2, "materials.min_species", "at most 100"),
    ("materials:\n  layer_groups: [81]", 2, "materials.layer_groups.0", "at most 80"),
    ("materials:\n  layer_groups: [P6/mmm]", 2, "materials.layer_groups.0", "form"),
    ("materials:\n  min_atoms: 5\n  max_atoms: 2", 3, "materials.max_atoms", "less than min_atoms"),
    ("materials:\n  min_species: 3\n  max_species: 1", 3, "materials.max_species", "less than"),
    ("structures:\n  count: 1000000", 2, "structures.count", "at most 1000"),
    ("structures:\n  strain: -0.5", 2, "structures.strain", "greater than -0.5"),
    ("structures:\n  symprec: 1.1", 2, "structures.symprec", "at most 0.5"),
    ("structures:\n  rattle: 5", 2, "structures.rattle", "at most 1"),
    ("structures:\n  choose: 0", 2, "structures.choose", "at least 1"),
    ("structures:\n  choose: some", 2, "structures.choose", "all"),
    ("results:\n  bootstrap: 2", 2, "results.bootstrap", "at least 100"),
    ("results:\n  bootstrap: 1000000000", 2, "results.bootstrap", "at most"),
    ("generalization:\n  rattle: [2.0]", 2, "generalization.rattle.0", "at most 1"),
    ("generalization:\n  rattle: []", 2, "generalization.rattle", "at least 1"),
    ("scan:\n  seconds: 0", 2, "scan.seconds", "greater than 0"),
    ("scan:\n  memory: -1", 2, "scan.memory", "at least"),
    ("scan:\n  shards: 100000", 2, "scan.shards", "at most"),
    ("shards: 0", 1, "shards", "at least 1"),
    ("shards: 1000000", 1, "shards", "at most 4096"),
    # words that are not known
    ("defects: [vacancie]", 1, "defects.0", "did you mean vacancy"),
    ("defects: []", 1, "defects", "at least 1"),
    ("defects:\n  - vacancy\n  - vacancy", 1, "defects", "vacancy is listed twice"),
    ("poolings: [median]", 1, "poolings.0", "one of mean"),
    ("poolings: [my.txt:f]", 1, "poolings.0", "one of mean"),
    ("poolings: [mean, mean]", 1, "poolings", "listed twice"),
    ("poolings: ['mine.py:max']", 1, "poolings.0", "taken"),
    ("poolings: ['nothing.py:f']", 1, "poolings.0", "there is no file nothing.py"),
    ("convolutions: ['/:F.py:F']", 1, "convolutions.0", "there is no file"),
    ("convolutions: [gatd]", 1, "convolutions.0", "one of"),
    ("materials:\n  source: databse", 2, "materials.source", "did you mean database"),
    ("materials:\n  source: database", 1, "materials.path", "missing"),
    ("materials:\n  source: files\n  path: ''", 3, "materials.path", "missing"),
    ("materials:\n  path: my.db", 2, "materials.path", "not read with source embedded"),
    ("materials:\n  select: natoms<3", 2, "materials.select", "source database alone"),
    ("materials:\n  filter: nelements=2", 2, "materials.filter", "source optimade alone"),
    ("materials:\n  sha256: abc", 2, "materials.sha256", "form"),
    ("materials:\n  url: file:///etc/passwd", 2, "materials.url", "form"),
    ("materials:\n  without_elements: [Xx]", 2, "materials.without_elements.0", "Xe"),
    ("structures:\n  substitution: [Xx]", 2, "structures.substitution.0", "did you mean Xe"),
    ("structures:\n  substitution: [h]", 2, "structures.substitution.0", "did you mean H"),
    ("structures:\n  substitution: all", 2, "structures.substitution", "neighbors"),
    ("structures:\n  interstitial: []", 2, "structures.interstitial", "at least 1"),
    ("structures:\n  interstitial: [no]", 2, "structures.interstitial.0", "text"),
    ("structures:\n  interstitial_sites: [top]", 2, "structures.interstitial_sites.0", "hollow"),
    ("training:\n  split: formla", 2, "training.split", "did you mean formula"),
    ("training:\n  device: tpu", 2, "training.device", "cuda"),
    ("generalization:\n  splits: [formula, formula]", 2, "generalization.splits", "twice"),
    # supercells
    ("supercells: ['0x2']", 1, "supercells.0", "no supercell"),
    ("supercells: [2by2]", 1, "supercells.0", "no supercell"),
    ("supercells: [true]", 1, "supercells.0", "no supercell"),
    ("supercells: [2.5]", 1, "supercells.0", "no supercell"),
    ("supercells: [[[1, 2], [2, 4]]]", 1, "supercells.0", "no area"),
    ("supercells: [[[2, 0], [0]]]", 1, "supercells.0", "no supercell"),
    ("supercells: [[[2, 0, 0], [0, 2, 0], [0, 0, 1]]]", 1, "supercells.0", "no supercell"),
    ("supercells: [2x2, 2]", 1, "supercells", "2x2 is listed twice"),
    ("supercells: [2x2, [[2, 0], [0, 2]]]", 1, "supercells", "2x2 is listed twice"),
    ("supercells: [1000000]", 1, "supercells.0", "more than 10000"),
    ("supercells: [100000000000000000000]", 1, "supercells.0", "no supercell"),
    (f"supercells: [{'9' * 4000}x2]", 1, "supercells.0", "no supercell"),
    ("examples:\n  supercell: big", 2, "examples.supercell", "no supercell"),
    # files that are no configuration, whatever their keys are
    ("training:\n  epochs: 2\n  epochs: 3", 3, "training.epochs", "twice, first in line 2"),
    ("shards: 1\nshards: 2", 2, "shards", "twice, first in line 1"),
    ("training: {epochs: 2, seed: 1, epochs: 3}", 1, "training.epochs", "twice"),
    ("training:\n\tepochs: 3", 2, "", "'\\t'"),
    ("training: {epochs: 3", 1, "", "correct the YAML"),
    ("training: *nothing", 1, "", "undefined alias"),
    ("training: !!python/object/apply:os.system [id]", 1, "", "correct the YAML"),
    ("a: 1\n---\nb: 2", 2, "", "another document"),
    ("a: \x07", 0, "", "special characters"),
    ("a: 2024-99-99", 0, "", "correct the YAML"),
    (f"training:\n  epochs: {HUGE}", 0, "", "correct the YAML"),
    ("? [a]\n: 1", 1, "", "correct the YAML"),
    ("a: " + "[" * 3000 + "]" * 3000, 0, "", "too deeply"),
    (BOMB, 0, "", "aliases"),
    (MAPPING_BOMB, 0, "", "aliases"),
    ("defects: &a [*a]", 0, "", "aliases"),
    ("", 0, "", "is empty"),
    ("# nothing but a comment", 0, "", "is empty"),
    ("- training", 0, "", "is a list"),
    ("training", 0, "", "is text"),
]

# Words of pydantic and of Python, which no message has.
INNER = re.compile(
    r"Input should|validation error|pydantic|type=|Traceback|Error\b|extra_forbidden"
)


def refusal(path: Path) -> str:
    """Return what is said of a file."""
    if problem := check_file(path):
        return problem
    with pytest.raises(DefectpoolError) as caught:
        load(yaml.safe_load(path.read_text(encoding="utf-8")), [path])
    first, _, lines = str(caught.value).partition("\n")
    assert first == "the configuration cannot be used:"
    return lines.strip()


def test_there_are_a_hundred_of_them():
    assert len({text for text, *_ in CASES}) == len(CASES) >= 100


@pytest.mark.parametrize(
    ("text", "line", "key", "said"),
    CASES,
    ids=[f"{n}-{key}" for n, (_, _, key, _) in enumerate(CASES)],
)
def test_one_line_names_file_line_and_key(tmp_path, text, line, key, said):
    path = tmp_path / "my.yaml"
    path.write_text(text, encoding="utf-8")
    began = time.monotonic()
    message = refusal(path)
    assert time.monotonic() - began < 5
    assert "\n" not in message and len(message) < 500
    where = f"{path}:{line}: " if line else f"{path}: "
    assert message.startswith(where + key)
    assert said in message
    assert not INNER.search(message.removeprefix(where))


def test_no_case_takes_a_gigabyte():
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 1_000_000  # kB


def test_each_mistake_has_its_line(tmp_path):
    path = tmp_path / "my.yaml"
    path.write_text("graph:\n  radius: 0.5\n  shels: complete\ntraining:\n  epochs: none\n")
    lines = [line.strip() for line in refusal(path).splitlines()]
    keys = ["2: graph.radius", "3: graph.shels", "5: training.epochs"]
    assert [
        line.removeprefix(f"{path}:")[: len(key)] for line, key in zip(lines, keys, strict=True)
    ] == keys


def test_a_byte_that_is_not_utf_8(tmp_path):
    path = tmp_path / "my.yaml"
    path.write_bytes(b"materials:\n  path: caf\xe9\n")
    assert check_file(path) == f"{path}:2: byte 22 is not UTF-8; save the file in UTF-8"


def test_a_file_that_is_not_there_or_is_a_folder(tmp_path):
    assert check_file(tmp_path / "no.yaml") == f"{tmp_path}/no.yaml: no such file or directory"
    assert check_file(tmp_path) == f"{tmp_path}: is a directory"


def test_files_that_are_well(tmp_path):
    path = tmp_path / "my.json"
    path.write_text('{\n\t"training": {\n\t\t"epochs": 3\n\t}\n}')
    assert check_file(path) == ""


def test_the_last_file_and_the_command_line_are_named(tmp_path):
    first, second = tmp_path / "config.yaml", tmp_path / "my.yaml"
    first.write_text("training:\n  epochs: 30\n")
    second.write_text("# mine\ntraining:\n  epochs: 0\n")
    with pytest.raises(DefectpoolError, match=r"my\.yaml:3: training\.epochs"):
        load({"training": {"epochs": 0}}, [first, second])
    with pytest.raises(DefectpoolError, match=r"--config: training\.epochs"):
        load({"training": {"epochs": 0}}, [first, second], {"training": {"epochs": 0}})


OLD_VALUES = {
    "graph.ties": ("keep", "complete"),
    "graph.resolution": (0.01, 0.01),
    "network.convolutions": (2, 2),
    "results.test_supercells": (["3x3"], ["3x3"]),
    "results.test_rattle": ([0.1], [0.1]),
    "results.splits": (["random"], ["random"]),
}


@pytest.mark.parametrize("old", RENAMED)
def test_a_renamed_key_works_with_a_warning(old, capsys):
    (section, key), (new_section, new_key) = old.split("."), RENAMED[old][0].split(".")
    given, meant = OLD_VALUES[old]
    raw = {section: {key: given}}
    found = load(raw)
    assert getattr(getattr(found, new_section), new_key) == meant
    assert capsys.readouterr().err.startswith(f"config: {old} is now called {RENAMED[old][0]};")
    assert raw == {section: {key: given}}


@pytest.mark.parametrize("old", RENAMED)
def test_a_renamed_key_wins_over_the_defaults_and_is_refused_beside_its_new_name(old, tmp_path):
    (section, key), (new_section, new_key) = old.split("."), RENAMED[old][0].split(".")
    given, meant = OLD_VALUES[old]
    defaults, mine = tmp_path / "config.yaml", tmp_path / "my.yaml"
    defaults.write_text(yaml.safe_dump(Config().model_dump(mode="json")))
    mine.write_text(yaml.safe_dump({section: {key: given}}))
    raw = Config().model_dump(mode="json")
    raw[section] |= {key: given}
    assert getattr(getattr(load(raw, [defaults, mine]), new_section), new_key) == meant
    raw[section] |= {key: -1}
    with pytest.raises(DefectpoolError, match=rf"my\.yaml:2: {new_section}\.{new_key}"):
        load(raw, [defaults, mine])
    both: dict = {section: {key: given}}
    both.setdefault(new_section, {})[new_key] = meant
    mine.write_text(yaml.safe_dump(both))
    with pytest.raises(
        DefectpoolError, match=rf"my\.yaml:\d: {old} is the old name of .*{new_key}"
    ):
        load(raw, [defaults, mine])
