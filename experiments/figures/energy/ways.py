"""Which look and which short name does every way to share have in figures of energy?"""

from collections.abc import Mapping

from pandas import DataFrame

from experiments.analysis.names import DP, EVEN, EVEN_AS_ASKED, HMP, HPP, PP, SP, TP
from experiments.figures.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, Look

SHORT: Mapping[str, str] = {
    DP: "DP",
    SP: "SP",
    TP: "TP",
    HMP: "SP + TP",
    EVEN_AS_ASKED: "PP, even, as asked",
    EVEN: "PP, even",
    PP: "PP",
    HPP: "DP + PP",
}
LOOKS: Mapping[str, Look] = {
    DP: Look(colour=VERMILION, marker="o", dashes="-", hatch="////"),
    SP: Look(colour=ORANGE, marker="v", dashes=(0, (5, 1, 1, 1, 1, 1)), hatch="----"),
    TP: Look(colour=SKY, marker="D", dashes=(0, (3, 1)), hatch="++++"),
    HMP: Look(colour=PURPLE, marker="X", dashes=(0, (6, 2)), hatch="xxxx"),
    EVEN_AS_ASKED: Look(colour=BLACK, marker="1", dashes=(0, (1, 2)), hatch=""),
    EVEN: Look(colour=GREY, marker="x", dashes=(0, (1, 1)), hatch=""),
    PP: Look(colour=BLUE, marker="s", dashes="--", hatch="\\\\\\\\"),
    HPP: Look(colour=GREEN, marker="^", dashes="-.", hatch="...."),
}
PLACES: Mapping[str, str] = {
    "energy-study-gpu": "4 Nanos, GPU",
    "energy-study-cpu": "4 Nanos, CPU",
    "energy-study-tx2": "4 TX2, GPU",
    "energy-study-nx": "4 NX, GPU",
    "energy-study-mixed": "mixed set, GPU",
    "energy-study-mixed-cpu": "mixed set, CPU",
    "energy-study-gpu-wifi": "4 Nanos, GPU, Wi-Fi",
    "energy-study-cpu-wifi": "4 Nanos, CPU, Wi-Fi",
    "energy-study-mixed-wifi": "mixed set, GPU, Wi-Fi",
}


def as_ways(table: DataFrame) -> DataFrame:
    """The table with a column ``way``: its method, and an even cut in the workload's micro-batches apart."""
    asked = (table["method"] == EVEN) & (table.get("planner.micro_batch") == "workload")
    return table.assign(way=table["method"].mask(asked, EVEN_AS_ASKED))


def in_order(ways: "set[str]") -> list[str]:
    """Ways that are there, in the order of legends."""
    return [way for way in SHORT if way in ways]
