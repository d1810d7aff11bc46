"""The closest weights of few rows, over all pairs at once (POT's network simplex)."""

import importlib
import warnings
from types import ModuleType

import numpy as np
from jaxtyping import Float, Int

from bench.isolation import Unsupported
from bench.sampling.sites import Sites


def dense_transport(
    sites: Sites,
) -> tuple[Int[np.ndarray, " m"], Float[np.ndarray, " m"], Float[np.ndarray, " m"], float]:
    """The optimum, up to rounding in double precision.

    What isn't drawn goes to one more column a bin, at no cost from its own sites and a
    prohibitive one from others, so that all that a site may send is sent.

    Returns
    -------
    units : that leave each site. prices, values : that solve the dual program. cost : for mass 1.
    """
    ot = package()
    members, m = sites.members(), len(sites)
    unused = np.array([sites.capacity[g].sum() for g in members]) - sites.supply
    distances = np.stack([sites.distances(np.full(m, i), np.arange(m)) for i in range(m)])
    rest = np.full((m, len(members)), 2 * distances.max() + 1)
    rest[np.arange(m), sites.bins] = 0.0
    # whole numbers as masses: sums and differences of them are exact
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        flow, log = ot.emd(
            sites.capacity.astype(np.float64),
            np.concatenate([sites.demand, unused]).astype(np.float64),
            np.hstack([distances, rest]),
            numItermax=10**9,
            log=True,
            center_dual=False,
        )
    units = np.rint(flow[:, :m].sum(axis=1)).astype(np.int64)
    cost = float((flow[:, :m] * distances).sum() / sites.total)
    prices = -np.asarray(log["u"])
    values = np.concatenate([(distances[:, j] + prices).min(keepdims=True) for j in range(m)])
    return units, prices, values, cost


def package() -> ModuleType:
    """POT."""
    try:
        return importlib.import_module("ot")
    except ImportError as error:
        raise Unsupported("needs POT: pip install 'earnest[fairwashing]'") from error
