"""Second opinion of trained networks on structures whose defects are not known.

A structure becomes a graph with the settings that the networks were trained with. Each network of a
model file, one for each fold and repeat, gives a probability that it is defective, and a score for
every site by the pooling's own measure (see `evaluation.localization`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from defectpool.errors import DefectpoolError
from defectpool.evaluation.localization import methods, picked_sites
from defectpool.evaluation.network_answers import ask
from defectpool.evaluation.site_defects import SiteDefect, site_defects
from defectpool.graphs.elements import unknown_elements
from defectpool.lattice.geometry import complete_cell
from defectpool.network.cgcnn import CrystalGraphNetwork
from defectpool.network.model_file import graph_settings, load_models
from defectpool.network.site_network import SiteNetwork
from defectpool.structures.structure_files import DefectStructure

if TYPE_CHECKING:
    from ase import Atoms

MOST_ATOMS = 20_000  # of a graph, where no sites are equal: some 300 MB
CUBE = 5.0  # Å; edge of the cubes in which atoms are counted
DENSEST = 1.0  # atoms per Å³; five times diamond. Neighbors are too many to be listed above.


@dataclass(frozen=True)
class Opinion:
    """Answer of the networks of one model file for one structure.

    Attributes
    ----------
    model
        Name of the model file.
    method
        How sites are scored (`evaluation.localization`).
    probability, spread
        Mean and standard deviation over the networks of the probability that the structure is
        defective; None where the networks have no answer.
    site_scores
        Mean score of each atom over the networks, [atoms]; empty where there is no answer.
    sites
        Rows of the atoms with the highest score.
    note
        Why there is no answer, else empty.
    defects
        Defects that networks with a class for every site see; None for other networks.
    """

    model: str
    method: str
    probability: float | None = None
    spread: float | None = None
    site_scores: NDArray[np.float64] | None = None
    sites: tuple[int, ...] = ()
    note: str = ""
    defects: tuple[SiteDefect, ...] | None = None

    @property
    def defective(self) -> bool | None:
        """Verdict: whether there are defects, or the probability is above 0.5; None without any."""
        if self.probability is None:
            return None
        return self.probability > 0.5 if self.defects is None else bool(self.defects)


class Networks:
    """Trained networks of a model file, and the settings of their graphs.

    Parameters
    ----------
    path
        `model.pt` of a run of the table.

    Raises
    ------
    DefectpoolError
        The file cannot be used, or its networks classify defect types.
    """

    def __init__(self, path: str | Path) -> None:
        self.name = str(path)
        self.networks = [network for _, _, network in load_models(path)]
        self.graph = graph_settings(path)
        if not self.networks or _classifies_types(self.networks[0]):
            raise DefectpoolError(
                f"{path}: its networks do not tell defective from pristine; give the model.pt of a "
                "run of the table"
            )
        self.method = methods(self.networks[0].pooling)[0]

    def opinion(self, atoms: Atoms) -> Opinion:
        """Opinion on a structure; where there is none, a note says why."""
        note = _obstacle(atoms)
        if note:
            return Opinion(self.name, self.method, note=note)
        try:
            return self._opinion(atoms)
        except Exception as error:  # one structure must not end a scan of a million
            note = f"the networks failed ({type(error).__name__}: {error})"
            return Opinion(self.name, self.method, note=" ".join(note.split()))

    def _opinion(self, atoms: Atoms) -> Opinion:
        structure = unlabeled(atoms)
        told = ask(self.networks, structure, self.graph, merge=True)
        if told is None:
            raise ValueError("no graph can be made of it")
        defects = None if told.classes is None else site_defects(structure.atoms, told.classes)
        return Opinion(
            self.name,
            self.method,
            told.probability,
            float(told.probabilities.std()),
            told.site_scores,
            tuple(np.flatnonzero(picked_sites(told.site_scores)).tolist()),
            defects=defects,
        )


def _classifies_types(network: CrystalGraphNetwork) -> bool:
    return network.fc_out.out_features > 1 and not isinstance(network, SiteNetwork)


def _obstacle(atoms: Atoms) -> str:
    """Return why a structure cannot become a graph; empty if it can."""
    if unknown := unknown_elements(atoms.numbers):
        return f"no features for the atomic numbers {', '.join(map(str, unknown))}"
    if len(atoms) > MOST_ATOMS:
        return f"too large for a graph: {len(atoms):,} atoms, the limit is {MOST_ATOMS:,}"
    try:
        cell = complete_cell(atoms.cell.array, atoms.pbc, atoms.positions)
    except ValueError as error:
        return str(error)
    cubes = np.floor(atoms.get_positions(wrap=bool(atoms.pbc.any())) / CUBE).astype(np.int64)
    crowd = np.unique(cubes, axis=0, return_counts=True)[1].max() / CUBE**3
    if max(crowd, len(atoms) / abs(np.linalg.det(cell))) > DENSEST:
        return "too many neighbors for a graph: atoms lie on each other"
    return ""


def unlabeled(atoms: Atoms) -> DefectStructure:
    """Structure in the form that graphs are made from, with nothing known of its defects."""
    whole = atoms.copy()
    whole.cell = complete_cell(atoms.cell.array, atoms.pbc, atoms.positions)
    return DefectStructure(
        atoms=whole,
        structure="",
        pair="",
        host="",
        formula="",
        defect="",
        name="",
        supercell="",
        label=0,
        species="",
        replaced="",
        position=np.zeros(3),
        defect_sites=(),
        count=0,
        multiplicity=0,
        site_symmetry="",
    )
