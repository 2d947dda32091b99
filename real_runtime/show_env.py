"""What is this machine, for a bug report? ``python -m real_runtime.show_env``: versions, cores, testbeds."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version

from real_runtime.profiler import machine_flop_per_s
from real_runtime.testbeds import cgroups, netns

_PACKAGES = ("edgesim", "torch", "transformers", "numpy", "scikit-learn", "simpy", "hydra-core")


def environment() -> dict[str, str]:
    """The facts about this machine, as text, by name."""
    problem = netns.problem()
    facts = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }
    for package in _PACKAGES:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = "not installed"
    return facts | {
        "cores": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB",
        "one core, FP32 matrix product": f"{machine_flop_per_s(5) / 1e9:.1f} GFLOP/s (measured)",
        "testbed netns": "works" if problem is None else f"does not work: {problem}",
        "testbed loopback": "works",
        "cgroup quotas and limits": "work" if cgroups.available() else "need root",
    }


def main() -> None:
    """Print the facts, aligned."""
    facts = environment()
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:<{width}}  {value}")


if __name__ == "__main__":
    main()
