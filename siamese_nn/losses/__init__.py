"""Losses as Keras objects, each with its function."""

from .distances import pairwise_distances
from .triplet import TripletHardLoss, TripletSemiHardLoss, triplet_hard_loss, triplet_semihard_loss

__all__ = [
    "TripletHardLoss",
    "TripletSemiHardLoss",
    "pairwise_distances",
    "triplet_hard_loss",
    "triplet_semihard_loss",
]
