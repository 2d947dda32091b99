"""How do configuration files and kept results reach a wheel? They stay at the top of the repository and are copied."""

from pathlib import Path
from shutil import rmtree

from setuptools import setup
from setuptools.command.build_py import build_py

# What YAML files, figures and claims refer to, and the tables that `edgesim reproduce` compares with; no pictures.
# MANIFEST.in says the same for a source distribution.
TRAVEL = ("conf/**/*.*", "results/profiles/*.json", "results/published/*.csv", "results/*/table.csv")
LEFT = {"results/planner_bench/table.csv"}  # a third of all tables' bytes, and nothing compares with it


class BuildWithData(build_py):
    """Copies them into experiments/_data; an editable install finds them where they stand."""

    def run(self) -> None:
        """Build as usual, then copy."""
        super().run()
        if self.editable_mode:
            return
        data = Path(self.build_lib) / "experiments" / "_data"
        rmtree(data, ignore_errors=True)  # of an earlier build
        for path in sorted({path for pattern in TRAVEL for path in Path().glob(pattern)}):
            if path.is_file() and path.as_posix() not in LEFT:
                self.mkpath(str(data / path.parent))
                self.copy_file(str(path), str(data / path), preserve_mode=False)


setup(cmdclass={"build_py": BuildWithData})
