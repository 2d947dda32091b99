"""Redraw every standing figure from the tables in results/: python -m experiments.figures [results]"""

import sys
from pathlib import Path

from experiments.figures.parity import save_parity

if __name__ == "__main__":
    results = Path(sys.argv[1] if len(sys.argv) > 1 else "results")
    testbeds = sorted({path.stem.rpartition("_")[0] for path in (results / "validation").glob("*_*mbit.csv")})
    if not testbeds:
        sys.exit(f"error: no table in {results / 'validation'} (run python -m experiments.validate first)")
    for testbed in testbeds:
        print(save_parity(results / "validation", testbed))
