"""How do configuration files that last no longer than a call reach other machines? As texts that go with the sweep."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class MadeFolder:
    """A folder of configuration files that lasts no longer than a call.

    Attributes:
        path: where it was.
        files: of each its place in the folder, its text, and where it leads if it is a link.
    """

    path: str
    files: tuple[tuple[str, str, str | None], ...]

    @staticmethod
    def of(folder: Path) -> "MadeFolder":
        """The folder as it is."""
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return MadeFolder(
            path=str(folder),
            files=tuple(
                (
                    path.relative_to(folder).as_posix(),
                    path.read_text(),
                    str(path.resolve()) if path.is_symlink() else None,
                )
                for path in files
            ),
        )

    def write(self, folder: Path) -> None:
        """The same files in another folder; links where what they lead to is here as well."""
        for place, text, link in self.files:
            path = folder / place
            path.parent.mkdir(parents=True, exist_ok=True)
            if link is not None and Path(link).is_file():
                path.symlink_to(link)
            else:
                path.write_text(text)
