"""Notes on structures that were left out."""

import ase.io
from ase.build import graphene, mx2

from defectpool.config import MaterialsSettings
from defectpool.materials.notes import selection_note, skipped_note
from defectpool.materials.select import select_hosts


def test_the_note_counts_used_and_rejected_structures(tmp_path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for metal in ("Mo", "W", "Nb", "Ta", "Ti"):
        ase.io.write(folder / f"{metal}S2.cif", mx2(f"{metal}S2", vacuum=8))
    ase.io.write(folder / "C.vasp", graphene(vacuum=8))
    (folder / "half.cif").write_text("data_half\n_cell_length_a 3.2\n")
    (folder / "empty.xyz").write_text("")
    out = tmp_path / "results" / "materials"
    assert selection_note(out) == ""
    select_hosts(MaterialsSettings(source="files", path=str(folder)), 1, out)
    assert selection_note(out) == (
        f"6 of 8 structures used; {out}/rejected.csv says why 2 are not (1 empty, 1 unreadable)."
    )
    select_hosts(MaterialsSettings(), 1, out)
    assert selection_note(out) == ""


def test_the_note_counts_defects_that_were_not_built(tmp_path) -> None:
    assert skipped_note(tmp_path) == ""
    header = "host,defect,supercell,name,reason,message\n"
    for shard, reason in (("000", "elemental"), ("001", "images_too_close")):
        path = tmp_path / "antisite/2x2" / f"{shard}.skipped.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(header + f"C,antisite,2x2,,{reason},x\n")
    assert skipped_note(tmp_path).startswith(
        "2 defects could not be built (1 elemental, 1 images_too_close); "
    )
