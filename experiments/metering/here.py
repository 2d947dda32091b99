"""What can this machine's power be read by, with which rights, and how does one get them? Every meter is asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgesim.errors import MeterError
from edgesim.metered import MeterFacts
from real_runtime.meters.cpu_time import CpuTime
from real_runtime.meters.jetson_rails import JetsonRails
from real_runtime.meters.meter import LiveMeter
from real_runtime.meters.nvml import Nvml
from real_runtime.meters.rapl import Rapl
from real_runtime.meters.tegrastats import Tegrastats

_BY_FILE = "with the file that it has written"
RECORDED = (
    ("tegrastats_log", "module", _BY_FILE, "meter=tegrastats_log meter.path=FILE"),
    ("wall_csv", "board", _BY_FILE, "meter=wall_csv meter.path=FILE meter.time_column=... meter.power_column=..."),
    ("replay", "as recorded", "with the power log of an earlier run", "meter=replay meter.path=RUN/power_0.csv"),
    ("synthetic", "board", "always, and measures nothing: it reads declared watts", "meter=synthetic"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """A meter on this machine.

    Attributes:
        name: of its file in conf/meter.
        facts: what is known of it; None where it cannot be read.
        problem: why it cannot, and what to do.
    """

    name: str
    facts: MeterFacts | None
    problem: str = ""


def meters_here(root: Path = Path("/")) -> list[Here]:
    """Ask all meters that can be read while a run lasts, of a system below a root."""
    live: Sequence[tuple[str, LiveMeter]] = (
        ("jetson_rails", JetsonRails(root=str(root / "sys"))),
        ("tegrastats", Tegrastats()),
        ("rapl", Rapl(root=str(root / "sys"))),
        ("nvml", Nvml(root=str(root))),
        ("cpu_time", CpuTime(core_w=1.0, idle_w=0.0, watts_source="watts of your own")),
    )
    return [_asked(name, meter) for name, meter in live]


def _asked(name: str, meter: LiveMeter) -> Here:
    try:
        return Here(name=name, facts=meter.facts)
    except MeterError as error:
        return Here(name=name, facts=None, problem=str(error))
