"""Structure types of hosts."""

import pytest

from defectpool.config import MaterialsSettings
from defectpool.errors import DefectpoolError
from defectpool.materials.prototype_labels import read_prototypes
from defectpool.materials.select import select_hosts


def test_prototypes_of_the_embedded_hosts(tmp_path):
    select_hosts(MaterialsSettings(only_elements=["Mo", "W", "S", "Se"]), 1, tmp_path)
    found = read_prototypes(tmp_path / "selected.csv")
    assert found["1MoS2-1"] == found["1WS2-1"]


def test_unnamed_prototypes_are_stoichiometry_size_and_layer_group(tmp_path):
    (tmp_path / "selected.csv").write_text(
        "id,formula,layergroup,natoms,source,properties\n"
        '1MoS2-1,MoS2,p-6m2,3,db,"{""ehull"": 0.0}"\n'
        "1CdI2-1,CdI2,p-3m1,3,db,{}\n2NaN-1,NaN,,4,db,{}\n"
    )
    assert read_prototypes(tmp_path / "selected.csv") == {
        "1MoS2-1": "AB2 3 p-6m2",
        "1CdI2-1": "AB2 3 p-3m1",
        "2NaN-1": "AB 4 unknown group",
    }


def test_a_list_that_is_not_there(tmp_path):
    with pytest.raises(
        DefectpoolError,
        match=r"selected\.csv: there is no such file; check the path, or run the campaign",
    ):
        read_prototypes(tmp_path / "selected.csv")
