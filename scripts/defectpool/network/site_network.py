"""Network with a class for every site, which says where a defect is and of which type."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from defectpool.config import NetworkSettings
from defectpool.network.cgcnn import CrystalGraphNetwork
from defectpool.network.peers import peer_deviations
from defectpool.network.pooling import ALIKE, Sites, deviation, largest, z_scores

# Word in `poolings` of the config that stands for this network.
SITES = "sites"

# Pristine, neighbor of a vacancy, antisite, substitution, interstitial (`GraphSet.site_label`).
N_SITE_CLASSES = 5


class SiteNetwork(CrystalGraphNetwork):
    r"""CGCNN with a hidden layer and class logits for every site.

    The head sees no site by itself, so that it cannot take an unknown host for a defect. It sees
    how the features of a site deviate from the mean of its element in the crystal (see
    `pooling.contrast` and `pooling.outlier`) and from its peers (`network.peers`), both plain and
    in units of the standard deviation, how this deviation compares with those of all sites of the
    crystal (`prominence`), and how rare the element is. With the class logits :math:`l_{ik}` of
    site i, class 0 pristine, the logit of "defective" of the crystal is that of its most defective
    site,

    .. math::
        s_i = \log \sum_{k > 0} e^{l_{ik}} - l_{i0}, \quad s = \max_i s_i .

    Parameters
    ----------
    convolution, settings, radius
        As of `CrystalGraphNetwork`.

    Attributes
    ----------
    temperature
        What the logits of "defective" are divided by, so that probabilities are calibrated: 1
        while it is trained, then that of the model file.

    Shapes
    ------
    - as of `CrystalGraphNetwork`, C crystals to logits [C].
    """

    temperature: float = 1.0

    def __init__(
        self,
        convolution: str = "gated",
        settings: NetworkSettings | None = None,
        radius: float = 8.0,
    ) -> None:
        super().__init__("max", convolution, settings, radius, N_SITE_CLASSES)
        self.pooling = SITES
        self.conv_to_fc = nn.Linear(4 * self.settings.width + 4, self.settings.hidden)
        self.log_sharpness = nn.Parameter(torch.zeros(()))

    def classify(self, sites: Sites) -> Tensor:
        """Return the logits of each crystal from the features of its sites, [C]."""
        return self.crystal_logits(self.site_logits(sites), sites)

    def site_logits(self, sites: Sites) -> Tensor:
        """Return the class logits of the sites of each node, [nodes, 5]."""
        of_peers = peer_deviations(sites, self.log_sharpness.exp())
        seen = [deviation(sites), z_scores(sites), *of_peers]
        features = torch.cat([*seen, prominence(sites, of_peers[0]), rarity(sites)], dim=1)
        logits: Tensor = self.fc_out(F.softplus(self.conv_to_fc(features)))
        return logits if self.temperature == 1 else calibrated(logits, self.temperature)

    def crystal_logits(self, site_logits: Tensor, sites: Sites) -> Tensor:
        """Return the logits of each crystal from those of its sites, [C]."""
        return largest(sites, defectiveness(site_logits)[:, None])[:, 0]


def defectiveness(site_logits: Tensor) -> Tensor:
    """Logit of each site to belong to a defect of any type, [nodes, 5] to [nodes]."""
    return site_logits[:, 1:].logsumexp(1) - site_logits[:, 0]


def calibrated(site_logits: Tensor, temperature: float) -> Tensor:
    """Class logits whose `defectiveness` is divided by a temperature, [nodes, 5].

    The probabilities of the types, given that a site belongs to a defect, stay as they are.
    """
    types = site_logits[:, 1:].log_softmax(1)
    pristine = torch.zeros_like(site_logits[:, :1])
    return torch.cat([pristine, types + defectiveness(site_logits)[:, None] / temperature], dim=1)


def prominence(sites: Sites, apart: Tensor) -> Tensor:
    r"""Size of each site's deviation against those of all sites of its crystal, [nodes, 2].

    The same deviation is a defect in a cold crystal and noise in a hot one. With the root mean
    square :math:`r_i` of the deviation of site i from its peers, the columns are
    :math:`\log r_i - \langle \log r \rangle` and :math:`\langle \log r \rangle`, the mean over
    the sites of the crystal.

    Parameters
    ----------
    sites
        The sites.
    apart
        Deviation of each site from its peers, [nodes, F].
    """
    size = (apart.square().mean(1, keepdim=True) + ALIKE**2).log() / 2
    total = sites.crystals.sum(torch.cat([size * sites.multiplicity, sites.multiplicity], dim=1))
    level = sites.crystals.spread(total[:, :1] / total[:, 1:])
    return torch.cat([size - level, level], dim=1)


def rarity(sites: Sites) -> Tensor:
    """Logarithm of the share of a site's element in its crystal, and 1 / its sites, [nodes, 2]."""
    own = sites.elements.spread(sites.element_sites)
    whole = sites.crystals.spread(sites.crystals.sum(sites.multiplicity))
    return torch.cat([(own / whole).log(), 1 / own], dim=1)
