"""Small nouns for tests of the runtime: two tiny models, three unequal hosts, and plans of every shape."""

from dataclasses import dataclass, replace

from edgesim import Depth, Model, Plan, Workload
from edgesim.cluster import Cluster, Device, Network, Origin, PowerModel
from edgesim.model import from_table
from edgesim.plan import make_stages
from edgesim.zoo.bert import bert
from real_runtime.data import DataSpec

RANKS, MICRO_BATCHES, SAMPLES, ITERATIONS, SEED = 3, 4, 6, 3, 7
TOLERANCE = 1e-5
BERT = bert(name="tiny", layers=3, hidden=32, heads=2, columns=64, vocabulary=259, positions=64)
MOBILENET = from_table(table="mobilenet_v2")


def three_hosts(mbit_per_s: float = 400.0) -> Cluster:
    power = PowerModel(idle_w=1, compute_w=3, transmit_w=2, receive_w=2, source="made up")
    devices = tuple(
        Device(
            name=name,
            flop_per_s=speed * 1e9,
            installed_bytes=8e9,
            memory_bytes=4e9,
            memory_bytes_per_s=1e10,
            disk_bytes_per_s=1e8,
            power=power,
            origin=Origin.ASSUMED,
            source="made up",
        )
        for name, speed in (("a", 40), ("b", 25), ("c", 15))
    )
    network = Network.switched(
        transmit_bytes_per_s=[mbit_per_s * 1e6 / 8] * RANKS,
        latency_s=1e-4,
        goodput=0.956,
        origin="assumed",
        source="made up",
    )
    return Cluster(name="three", devices=devices, network=network)


@dataclass(frozen=True)
class Case:
    """Cuts are shares of the model's layers, so that they fit both models."""

    name: str
    cuts: tuple[float, ...]
    groups: tuple[tuple[int, ...], ...]
    samples: tuple[tuple[int, ...], ...]
    depth: Depth
    bucket_bytes: float | None = None
    recompute: bool = False

    def plan(self, model: Model) -> Plan:
        cuts = [round(cut * len(model.layers)) for cut in self.cuts]
        stages = make_stages(
            cuts=cuts, groups=self.groups, samples=self.samples, depth=self.depth, micro_batches=MICRO_BATCHES
        )
        return Plan(
            model=model.name,
            stages=tuple(replace(stage, recompute=self.recompute) for stage in stages),
            micro_batches=MICRO_BATCHES,
            micro_batch_samples=SAMPLES,
            planner="by hand",
        )


CASES = [
    Case("data, uneven", (0, 1), ((0, 1, 2),), ((3, 2, 1),), Depth.ONE_F_ONE_B),
    Case("data, one rank idle", (0, 1), ((2, 0),), ((2, 4),), Depth.ONE_F_ONE_B),
    Case("pipeline, GPipe", (0, 0.4, 0.8, 1), ((0,), (1,), (2,)), ((6,), (6,), (6,)), Depth.GPIPE),
    Case("pipeline, 1F1B", (0, 0.2, 0.6, 1), ((1,), (2,), (0,)), ((6,), (6,), (6,)), Depth.ONE_F_ONE_B),
    Case("hybrid, two then one", (0, 0.4, 1), ((0, 2), (1,)), ((4, 2), (6,)), Depth.ASTEROID),
    Case("hybrid, one then two", (0, 0.6, 1), ((1,), (2, 0)), ((6,), (1, 5)), Depth.ONE_F_ONE_B),
    Case("hybrid, two then one, GPipe", (0, 0.6, 1), ((2, 1), (0,)), ((2, 4), (6,)), Depth.GPIPE),
    Case("data, in buckets", (0, 1), ((0, 1, 2),), ((3, 2, 1),), Depth.ONE_F_ONE_B, 30e3),
    Case("hybrid, in buckets", (0, 0.4, 1), ((0,), (1, 2)), ((6,), (4, 2)), Depth.ONE_F_ONE_B, 1),
    Case("pipeline, recomputed", (0, 0.4, 0.8, 1), ((0,), (1,), (2,)), ((6,), (6,), (6,)), Depth.GPIPE, recompute=True),
    Case("hybrid, recomputed", (0, 0.4, 1), ((0,), (1, 2)), ((6,), (4, 2)), Depth.GPIPE, 1, recompute=True),
]


def workload(model: Model) -> Workload:
    vision = model is MOBILENET
    return Workload(
        purpose="train",
        batch_samples=MICRO_BATCHES * SAMPLES,
        micro_batch_samples=SAMPLES,
        tokens=1 if vision else 16,
        optimiser="momentum",
        learning_rate=0.01,
    )


def data(model: Model) -> DataSpec:
    return DataSpec(kind="digits" if model is MOBILENET else "text")
