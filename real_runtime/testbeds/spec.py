"""On what should a cluster run: emulated on this machine, or hosts of its own? Settings, which load nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from real_runtime.ssh.inventory import Host, Reaching, check_names

KINDS = ("auto", "netns", "loopback", "ssh")


@dataclass(frozen=True, slots=True, kw_only=True)
class TestbedSpec:
    """How to emulate a cluster on this machine, or how to reach the hosts that are one.

    Attributes:
        kind: netns, loopback, or auto: the best that works here; ssh: hosts of their own.
        fractions: [rank] speed of each host as a fraction of one core of this machine; None takes what the
            devices sustain: their FLOP/s, and of these what a large matrix product reaches. Over SSH, of a core of the
            host; None lets hosts be as fast as they are.
        slow_motion: slows computation and links alike, so that fast boards are imitated true to ratio; traces are told
            in the board's own seconds.
        deadline_s: a run ends when nothing has moved for so long: no byte, no computation, no task's end; iterations
            may be longer. One computation may take ten times that.
        cpu_quota: slow hosts down by cgroup quota instead of dilation (root).
        memory_limit: hold each host to its device's memory (cgroup as root, else by resource limit).
        disturbed_above: a measurement is disturbed if other programs took more than this share of the machine's
            processors meanwhile (foreign_load.py).
        repeat_disturbed: how often what was disturbed is measured again, unless other load lasts; if in vain, it is
            kept and marked.
        hosts: over SSH, the hosts by name, in the order of the cluster's devices.
        reaching: over SSH, how they are reached and used.
    """

    __test__ = False  # not a test class, whatever its name says

    kind: str = "auto"
    fractions: tuple[float, ...] | None = None
    slow_motion: float = 1.0
    deadline_s: float = 60.0
    cpu_quota: bool = False
    memory_limit: bool = False
    disturbed_above: float = 0.05
    repeat_disturbed: int = 1
    hosts: Mapping[str, Host] = field(default_factory=dict)
    reaching: Reaching = field(default_factory=Reaching)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown testbed {self.kind!r} (known: {', '.join(KINDS)})")
        if not self.slow_motion >= 1:
            raise ValueError(f"testbed: slow_motion must be at least 1, got {self.slow_motion:g}")
        if not self.deadline_s > 0:
            raise ValueError(f"testbed: deadline_s must be positive, got {self.deadline_s:g}")
        if not 0 < self.disturbed_above < 1:
            raise ValueError(
                f"testbed: disturbed_above must be a share between 0 and 1, like 0.05, got {self.disturbed_above:g}"
            )
        if self.repeat_disturbed < 0:
            raise ValueError(f"testbed: repeat_disturbed must be at least 0, got {self.repeat_disturbed}")
        check_names(self.hosts)
        if self.hosts and self.kind != "ssh":
            raise ValueError(f"testbed: {self.kind} emulates hosts and has no use for an inventory (testbed.kind=ssh)")
        if self.kind == "ssh" and self.slow_motion != 1:
            raise ValueError("testbed: hosts of their own know no slow motion (slow_motion=1)")
        if self.kind == "ssh" and self.cpu_quota:
            raise ValueError(
                "testbed: hosts over SSH are slowed down by dilation only (cpu_quota=false, fractions=[...])"
            )
