"""Which wrong words, values, YAML and JSON can a person hand over? Strategies that draw them."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import yaml
from hypothesis import strategies as st

# Texts that look like something; Hydra's and YAML's grammar, units, paths, links, numbers that are none.
WORDS = st.sampled_from(
    """
    fast;5 J;20 MB;20 Mbit/s;-1 s;nan;inf s;1e400 s;true;[];{};data;[[0],[1,2]];adam;infer;gpipe;2 GiB;7 W;a.b;é;
    ${seed};${nowhere};${si:5 W};${oc.env:NOWHERE};${;???;null;/dev/null;no.such.name;a/b.json;1_000;0x10;1e3;.5;-0;~;
    any;off;yes;'quoted;a: b;- c
    """.replace("\n", "").split(";")
)
INTEGERS = st.integers(-3, 9) | st.just(-(10**30))
SCALARS = st.none() | st.booleans() | INTEGERS | st.floats() | WORDS | st.text(max_size=8)
KEYS = st.text("abc_", min_size=1, max_size=3) | st.sampled_from(["name", "_target_", "_partial_", "_args_", "source"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
# What Hydra reads of a mapping that it is to build, and values for it that are wrong, or ours at the wrong place.
OF_HYDRA = ("_target_", "_partial_", "_args_", "_recursive_", "_convert_")
TARGETS = st.sampled_from(
    """
    edgesim.Device edgesim.zoo.bert.bert edgesim.Workload edgesim.no_such nowhere.f . .. builtins.dict builtins.len math
    math.inf edgesim.cluster. edgesim.simulate edgesim.planners.baselines.even.even
    """.split()  # noqa: SIM905
)
WRONG_FOR_HYDRA = TARGETS | VALUES | st.sampled_from(["all", "none", "object", "partial", True, False])
WORDS_OF_HYDRA = st.sampled_from(
    """
    hydra.run.dir hydra.verbose hydra.searchpath hydra.output_subdir hydra.mode hydra.job.name hydra.job.chdir hydra
    hydra.sweep.dir hydra.job hydra/launcher hydra.bogus hydra.job_logging hydra/sweeper hydra.callbacks hydra.launcher
    hydra.runtime.cwd hydra.help hydra.job.env_set
    """.split()  # noqa: SIM905
)
# As words on a command line, where Hydra has a grammar of its own.
WRITTEN = (
    SCALARS.map(str)
    | VALUES.map(str)
    | VALUES.map(lambda value: json.dumps(value).replace('"', ""))
    | st.sampled_from(
        ["", "[", "]", "{", "{a:1}", "{a:{b:1}}", "'", '"', "\\", "a=b", "=", "[1,", "a,b", "${", "$", "@"]
    )
    | st.sampled_from(["choice(1,2)", "range(1,3)", "glob(*)", "interval(0,1)", "int(3)", "str(", "sort(3,1)", "x(1)"])
)


def paths(node: Any, path: str = "") -> Iterator[str]:
    """Every place of a mapping, and of the lists in it, as an override names it."""
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, item in inner:
        below = f"{path}.{key}" if path else str(key)
        yield below
        yield from paths(item, below)


def torn(draw: st.DrawFn, text: str) -> str:
    """A text that was cut, garbled or doubled at a place."""
    at, much = draw(st.integers(0, len(text))), draw(st.sampled_from([0, 0, 1, 2, 5, 30, len(text)]))
    put = draw(
        st.sampled_from(["", "{", "}", "[", ":", "- ", '"', "'", "\t", "$", "&", "*a", "\n", "\x00", "é", "%", "0"])
    )
    return text[:at] + put + text[at + much :]


def changed(draw: st.DrawFn, plain: Any, values: st.SearchStrategy[Any] = VALUES) -> Any:
    """A copy in which one or two places were removed, renamed, swapped for another, or hold another value."""
    plain = copy.deepcopy(plain)
    for _ in range(draw(st.integers(1, 2))):
        _change(draw, plain, values)
    return plain


def _change(draw: st.DrawFn, node: Any, values: st.SearchStrategy[Any]) -> None:
    while isinstance(node, dict | list) and node:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = draw(st.sampled_from(keys))
        if not isinstance(node[key], dict | list) or not node[key] or draw(st.integers(0, 3)) == 0:
            break
        node = node[key]
    else:
        return
    match draw(st.sampled_from(["value", "value", "value", "remove", "rename", "swap", "add", "hydra"])):
        case "value":
            node[key] = draw(values)
        case "remove":
            del node[key]
        case "swap":
            other = draw(st.sampled_from(keys))
            node[key], node[other] = node[other], node[key]
        case "rename" if isinstance(node, dict):
            node[draw(KEYS) if draw(st.booleans()) else str(key)[:-1]] = node.pop(key)
        case "add" if isinstance(node, dict):
            node[draw(KEYS)] = draw(values)
        case "hydra" if isinstance(node, dict):
            node[draw(st.sampled_from(OF_HYDRA))] = draw(WRONG_FOR_HYDRA)
        case _:
            node[key] = None


@st.composite
def overrides(draw: st.DrawFn, places: list[str]) -> str:
    """``KEY=VALUE`` with a key that is there, nearly there or Hydra's, and whatever stands for a value."""
    place = draw(WORDS_OF_HYDRA if draw(st.integers(0, 5)) == 0 else st.sampled_from(places))
    match draw(st.integers(0, 7)):
        case 0:
            place = place[: -draw(st.integers(1, 2))]
        case 1:
            place = f"{place}.{draw(KEYS | st.sampled_from(OF_HYDRA))}"
        case 2:
            place = f"{place}@{draw(KEYS)}"
    sign, end = (
        draw(st.sampled_from(["", "", "", "+", "++", "~"])),
        draw(st.sampled_from(["=", "=", "=", "=", ":", ""])),
    )
    return f"{sign}{place}{end}" + (str(draw(TARGETS)) if place.endswith("_target_") else draw(WRITTEN) if end else "")


@st.composite
def yaml_texts(draw: st.DrawFn, text: str) -> str:
    """A YAML file of ours with something wrong in its text or its values."""
    if draw(st.integers(0, 2)) == 0:
        return torn(draw, text)
    head = "".join(line for line in text.splitlines(keepends=True) if line.startswith("# @package"))
    return head + str(yaml.safe_dump(changed(draw, yaml.safe_load(text)), allow_unicode=True))


@st.composite
def json_texts(draw: st.DrawFn, text: str) -> str:
    """A JSON file of ours with something wrong in its text or its values, or one of another kind."""
    match draw(st.integers(0, 3)):
        case 0:
            return torn(draw, text)
        case 1:
            return json.dumps(draw(VALUES))
    return json.dumps(changed(draw, json.loads(text)))
