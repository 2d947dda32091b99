"""What does a user's copy of a configuration file say? All that the file says, remarks too, with its paths in full."""

import json
import re
from pathlib import Path

import yaml
from hydra.plugins.config_source import ConfigSource
from omegaconf import OmegaConf

from experiments.configuration.yaml_files.relative_paths import Place, package_of, relative_paths


def copy_of(file: Path, *, group: str, name: str) -> str:
    """The text of a copy that may stand anywhere: relative paths lead where they led, a study has the copy's name."""
    text = file.read_text()
    package = package_of(ConfigSource._get_header_dict(text), f"{group}/{file.stem}")
    cfg = OmegaConf.load(file)
    changes = {place: str((file.parent / path).resolve()) for place, path in relative_paths(cfg, package)}
    if OmegaConf.select(cfg, "study.name") is not None:
        changes[("study", "name")] = name  # its runs are not pooled with those of the study it was copied from
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    spans = sorted(((*_span(root, place), value) for place, value in changes.items()), reverse=True)
    for start, end, value in spans:
        written = value if re.fullmatch(r"[\w/][\w./-]*", value) else json.dumps(value)
        text = text[:start] + written + text[end:]
    return text


def _span(node: yaml.Node, place: Place) -> tuple[int, int]:
    """Where in the text the value of a place begins and ends."""
    for key in place:
        if isinstance(node, yaml.MappingNode):
            node = next(value for name, value in node.value if name.value == str(key))
        else:
            node = node.value[key]
    return node.start_mark.index, node.end_mark.index
