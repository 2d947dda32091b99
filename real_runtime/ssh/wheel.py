"""Which file carries the runtime to a host? A wheel of the packages that ranks need, alike from every making."""

import base64
import hashlib
import io
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

_PACKAGES = ("edgesim", "real_runtime")
_LEFT = ("__pycache__",)
_MADE = (1980, 1, 1, 0, 0, 0)  # the oldest date that a zip file knows: two makings of the same files are alike
_TAGS = re.compile(r".+-(?P<python>[^-]+)-(?P<abi>[^-]+)-(?P<platform>[^-]+)\.whl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """A wheel as it travels; the name says for which Python and which machine it is."""

    name: str
    content: bytes

    def __post_init__(self) -> None:
        if _TAGS.fullmatch(self.name) is None:
            raise ValueError(f"{self.name!r} is no name of a wheel (like edgesim-0.2.0-py3-none-any.whl)")

    @property
    def sha256(self) -> str:
        """The hash of the whole file."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def platforms(self) -> list[str]:
        """The machines that it is for, as its name says it: any, linux_aarch64 ..."""
        found = _TAGS.fullmatch(self.name)
        assert found is not None, "it was checked when this was made"
        return found["platform"].split(".")


def read_wheel(path: str) -> Wheel:
    """A wheel of the user's own. Raises ValueError for what is none, OSError where there is no such file."""
    file = Path(path).expanduser()
    if not zipfile.is_zipfile(file):
        raise ValueError(
            f"testbed: {path} is no wheel (leave wheel out, or make one by: python -m pip wheel --no-deps .)"
        )
    return Wheel(name=file.name, content=file.read_bytes())


def made_wheel() -> Wheel:
    """A wheel of the packages as they are installed here."""
    root, files = Path(__file__).resolve().parents[2], {}
    for package in _PACKAGES:
        for path in sorted((root / package).rglob("*")):
            if path.suffix in (".py", ".json") and not set(path.parts) & set(_LEFT):
                files[path.relative_to(root).as_posix()] = path.read_bytes()
    head = f"edgesim_runtime-{_version(files)}"
    about = f"Metadata-Version: 2.1\nName: edgesim-runtime\nVersion: {_version(files)}\n"
    files[f"{head}.dist-info/METADATA"] = about.encode()
    files[f"{head}.dist-info/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: edgesim\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    record = f"{head}.dist-info/RECORD"
    files[record] = "".join(
        [*(f"{name},{_recorded(data)},{len(data)}\n" for name, data in files.items()), f"{record},,\n"]
    ).encode()
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, _MADE), data, zipfile.ZIP_DEFLATED)
    return Wheel(name=f"{head}-py3-none-any.whl", content=content.getvalue())


def _recorded(data: bytes) -> str:
    """A file's hash as a wheel's list of files writes it (PEP 376)."""
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def _version(files: dict[str, bytes]) -> str:
    """A version that changes with the code: the suite's own would not, between two of a developer's starts."""
    digest = hashlib.sha256()
    for name, data in files.items():
        if ".dist-info/" not in name:
            digest.update(f"{name}\0{len(data)}\0".encode() + data)
    return f"0+{digest.hexdigest()[:12]}"
