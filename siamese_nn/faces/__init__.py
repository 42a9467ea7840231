"""From a raw photo to an aligned face: find it, and put it where a training has it."""

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
