"""How slow do links make tensor and sequence parallelism? Bert-Base on four Raspberry Pi 4B (DeTransformer, DATE 2024).

Latency relative to one device, per layer of h hidden, s tokens, n devices, ring collectives:

    tensor      1/n of the products, and two all-reduces of s h numbers: 4 (n-1)/n s h each way
    sequence    1/n of everything, and gathering K and V: 2 (n-1)/n s h

One constant is fitted, the device's speed, on the tensor rows. Beside these laws stands what the simulator makes of the
strategies' schedules at the fitted speed: of the embedding and the encoder, with norms at the speed of the data sheet's
memory, and latency.
"""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import replace
from functools import cache

from scipy.optimize import minimize_scalar

from edgesim.cluster import EfficiencyCurve
from edgesim.model import Model
from edgesim.profile import estimate
from edgesim.units import BYTES_PER_FLOAT32, si
from experiments.configuration.command_line import composed
from experiments.configuration.constructors import build
from experiments.configuration.planners import build_planner
from experiments.configuration.setup import Setup, read_setup
from experiments.published.claims import Claim, published
from experiments.published.constants import Constant, ConstantOrigin, Row

SOURCE, ITEM, _MODEL = "DeTransformer (DATE 2024)", "slides", "Bert-Base"
ITEMS = (ITEM,)
_DEVICES = 4
_TOKENS = 128  # assumed: the talk does not tell; FLOPs and bytes both grow with it, and their ratio hardly changes
_GOODPUT = 0.941  # TCP over Ethernet: 1448 of every 1538 bytes
_NOTE = (
    "theory: K and V are half of TP's bytes; the published curve implies 0.78, as if a third tensor of s x h were "
    "gathered too (Q, or the layer's output): 0.75"
)


LAW, SIMULATED = "", "simulated"  # who predicts: the law above, or the simulator from a schedule
_METHODS = {"TP": "megatron_tp", "SP": "sequence_parallel"}


def claims() -> Iterator[Claim]:
    """Two rows per parallelism and bandwidth: by the law, and from the schedule."""
    speed = fitted_flop_per_s()
    for row, (value, unit) in _rows().items():
        for player, latency in ((LAW, relative), (SIMULATED, simulated)):
            yield Claim(
                row=row,
                unit=unit,
                published=value,
                predicted=latency(row.method, _bit_per_s(row), speed),
                constants=(_speed(),),
                player=player,
                note=_NOTE if row.method == "SP" else f"device's speed fitted: {speed / 1e9:.1f} GFLOP/s",
            )


def fitted_flop_per_s() -> float:
    """The speed at which the tensor rows' worst relative error is least."""
    rows = [(_bit_per_s(row), value) for row, (value, _) in _rows().items() if row in _speed().rows]

    def worst(speed: float) -> float:
        return max(abs(relative("TP", bit_per_s, speed) / value - 1) for bit_per_s, value in rows)

    return float(minimize_scalar(worst, bounds=(si("1 GFLOP/s"), si("500 GFLOP/s")), method="bounded").x)


def relative(method: str, bit_per_s: float, flop_per_s: float) -> float:
    """Latency over that of one device."""
    bert, hidden = _bert(), int(_bert().hyper["hidden"])
    alone_s = sum(layer.forward_flop(1, _TOKENS) for layer in bert.layers[1:-1]) / flop_per_s
    tensor_bytes = _TOKENS * hidden * BYTES_PER_FLOAT32
    gathered = {"TP": 4, "SP": 2}[method] * (_DEVICES - 1) / _DEVICES * tensor_bytes
    bytes_per_s = bit_per_s * si("1 bit/s") * _GOODPUT
    return 1 / _DEVICES + int(bert.hyper["layers"]) * gathered / bytes_per_s / alone_s


def simulated(method: str, bit_per_s: float, flop_per_s: float) -> float:
    """The same, of the schedules that the strategies write, played at the fitted speed."""
    return _simulated_s(_METHODS[method], bit_per_s, flop_per_s) / _simulated_s("local", bit_per_s, flop_per_s)


def _simulated_s(method: str, bit_per_s: float, flop_per_s: float) -> float:
    cfg = composed(
        "cluster=detransformer",
        "model=bert_base",
        "workload=request",
        f"workload.tokens={_TOKENS}",
        f"network.rate={bit_per_s:.0f} bit/s",
        f"network.goodput={_GOODPUT}",
        f"method={method}",
    )
    encoder, strategy = _at_speed(read_setup(cfg), flop_per_s), build(cfg.strategy)
    return encoder.seconds(encoder.plan(build_planner(cfg), strategy), strategy)


def _at_speed(whole: Setup, flop_per_s: float) -> Setup:
    """Boards of this speed at any size of work; the model without its head, as the theory has it."""
    flat = EfficiencyCurve(kind="any", work_flop=(1.0,), fraction=(1.0,), source=f"fitted to {SOURCE}, TP")
    boards = tuple(replace(board, flop_per_s=flop_per_s, efficiency=(flat,)) for board in whole.cluster.devices)
    encoder = replace(whole.model, layers=whole.model.layers[:-1])
    return replace(
        whole,
        model=encoder,
        cluster=replace(whole.cluster, devices=boards),
        profile=estimate(encoder, boards, samples=[1], tokens=_TOKENS),
    )


@cache
def _rows() -> Mapping[Row, tuple[float, str]]:
    """Value and unit of every row; a metric names the bandwidth it was published for."""
    table = published()
    return {
        Row(SOURCE, ITEM, _MODEL, str(row["method"]), f"{row['metric']}, {_bandwidth(row)}"): (
            float(row["value"]),
            str(row["unit"]),
        )
        for row in table[table["source"] == SOURCE].to_dict("records")
    }


def _bandwidth(row: Mapping[Hashable, object]) -> str:
    return str(row["setting"]).rpartition(", ")[2]


def _bit_per_s(row: Row) -> float:
    return si(row.metric.rpartition(", ")[2]) / si("1 bit/s")


@cache
def _speed() -> Constant:
    return Constant(
        name="speed of a Raspberry Pi 4B",
        origin=ConstantOrigin.FITTED,
        rows=frozenset(row for row in _rows() if row.method == "TP"),
    )


@cache
def _bert() -> Model:
    made: Model = build(composed("model=bert_base").model)
    return made
