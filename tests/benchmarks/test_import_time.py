"""Is a device up fast? ``import edgesim`` in a fresh interpreter, beside one that imports nothing."""

import subprocess
import sys
from statistics import median
from time import perf_counter

LIMIT_S = 0.3
ROUNDS = 11


def fresh_s(code: str) -> float:
    """Seconds from the start to the end of a new interpreter."""
    start_s = perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return perf_counter() - start_s


def test_importing_edgesim_takes_less_than_three_tenths_of_a_second() -> None:
    fresh_s("import edgesim")  # writes the byte code, once
    times = [(fresh_s("import edgesim"), fresh_s("")) for _ in range(ROUNDS)]
    import_s = median(whole_s - bare_s for whole_s, bare_s in times)
    print(
        f"\nimport edgesim: {import_s:.3f} s, beside {median(bare_s for _, bare_s in times):.3f} s of the interpreter"
    )
    assert import_s < LIMIT_S
