"""Finds the face in a raw photo, and aligns it as the training photos are aligned."""

from .alignment import ARCFACE, LFW_A, Frame, NoFaceError, align, choose, is_aligned
from .finder import Face, Finder, find

__all__ = [
    "ARCFACE",
    "LFW_A",
    "Face",
    "Finder",
    "Frame",
    "NoFaceError",
    "align",
    "choose",
    "find",
    "is_aligned",
]
