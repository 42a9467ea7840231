"""Takes the files of siamese_nn that know no TensorFlow, named in `shared.txt`, into this package."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

HERE = Path(__file__).parent
NAMES = (HERE / "shared.txt").read_text().split()
TAKEN = HERE / "shared"  # where they lie in an sdist
SOURCE = TAKEN if TAKEN.is_dir() else HERE.parent / "siamese_nn"


def take(names: list[str], target: Path) -> None:
    """Copies files of siamese_nn, each to its room."""
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(SOURCE / name, target / name)


class Build(build_py):
    """Adds them to what is installed."""

    def run(self) -> None:
        """As `build_py`."""
        if self.editable_mode:
            raise ValueError("siamese_nn_runtime can't be installed with --editable. Install it without")
        super().run()
        take(NAMES, Path(self.build_lib) / "siamese_nn_runtime")


class Archive(sdist):
    """Adds them to an sdist."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        """As `sdist`."""
        super().make_release_tree(base_dir, files)
        shutil.copyfile(HERE / "shared.txt", Path(base_dir) / "shared.txt")
        take(NAMES, Path(base_dir) / "shared")


if __name__ == "__main__":
    setup(cmdclass={"build_py": Build, "sdist": Archive})
