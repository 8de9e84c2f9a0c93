"""Where the features of the images lie that a network knows, and how far another one is from them.

The distance is that of Mahalanobis to the nearest of a few means, with one covariance for all
(Lee et al. 2018, arXiv 1807.03888): features are whitened, so that it is the Euclidean one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lightbox.domain.arrays import FloatMap

_SHRINKAGE = 0.1
"""Share of the covariance that is replaced by that of independent features: a direction in which a
few hundred images do not differ by chance would make everything far away."""

_SMALLEST = 1e-6
"""Variance that is added, as a share of the mean one: a channel may say nothing at all."""


@dataclass(frozen=True, slots=True, eq=False)
class FeatureRange:
    """Features of known images.

    Attributes
    ----------
    means : array, shape (groups, K), float32
        One per group of images, such as the findings.
    whitening : array, shape (K, K), float32
        Features times this have unit spread in every direction.
    """

    means: FloatMap
    whitening: FloatMap

    def distance(self, features: FloatMap) -> FloatMap:
        """Return the distance of each row to the nearest mean, shape (B,).

        Parameters
        ----------
        features : array, shape (B, K)
        """
        apart = (features[:, None] - self.means[None]) @ self.whitening
        nearest: FloatMap = np.sqrt((apart.astype(np.float64) ** 2).sum(axis=2)).min(axis=1)
        return nearest


def range_of(features: FloatMap, groups: FloatMap) -> FeatureRange:
    """Learn where features lie.

    Parameters
    ----------
    features : array, shape (images, K)
        Of images that the network learned from.
    groups : array, shape (images,)
        Label of each.

    Returns
    -------
    FeatureRange
        Deterministic: the same features give the same bits.
    """
    exact = features.astype(np.float64)
    labels, group = np.unique(groups, return_inverse=True)
    means = np.stack([exact[group == i].mean(axis=0) for i in range(len(labels))])
    inner = exact - means[group]
    covariance = inner.T @ inner / len(inner)
    alone = np.diag(np.diag(covariance) + _SMALLEST * np.trace(covariance) / len(covariance))
    values, directions = np.linalg.eigh((1 - _SHRINKAGE) * covariance + _SHRINKAGE * alone)
    whitening = directions / np.sqrt(values)
    return FeatureRange(means.astype(np.float32), whitening.astype(np.float32))
