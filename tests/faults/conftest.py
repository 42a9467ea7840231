import sys
from pathlib import Path

# The benchmarks are scripts beside the package, and not in it.
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
