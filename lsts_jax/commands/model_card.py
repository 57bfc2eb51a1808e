"""Model card of a trained detector: its classes, its mAP, its use, and the command that trained it."""

import ast
import json
import shlex
from pathlib import Path
from typing import Any

import yaml

from lsts_jax.cli.experiment import load_config, shipped
from lsts_jax.config import Config
from lsts_jax.config_checks import leaves
from lsts_jax.config_io import METHOD_FILE
from lsts_jax.errors import UserError

TEXT = """\
---
{metadata}---

# {name}

Object detection in video with lsts_jax.

| | |
|---|---|
| method | `{method}` on {network} |
| frames | resized to {short} x {long} pixels at most |
| classes | {classes} |
| mAP | {score} |
| weights | step {step} of training; parameters float16, statistics float32 |

## Use

```python
import lsts_jax

detector = lsts_jax.load("{name}")  # this folder, or hf://ORG/{name}
for result in detector.stream("clip.mp4"):
    print(result.frame_index, result.boxes, result.scores, result.classes)
```

    lsts predict --workdir {name} --source clip.mp4 --output watch

## Training

{training}
"""


def model_card(name: str, config: Config, step: int, score: float | None) -> str:
    """README.md of a repository of the hub.

    Args:
      score: mAP of this step, from `measured_map`.
    """
    data = Path(config.data.root).name or "unknown"
    metric = {"type": "mAP", "name": "mAP (ImageNet VID)", "value": round(score or 0.0, 4)}
    dataset = {"type": data, "name": f"{data}, {', '.join(config.data.val_lists)}"}
    result = {"task": {"type": "object-detection"}, "dataset": dataset, "metrics": [metric]}
    metadata: dict[str, Any] = {
        "library_name": "lsts_jax",
        "pipeline_tag": "object-detection",
        "tags": ["video-object-detection", "jax", "flax"],
    }
    if score is not None:
        metadata["model-index"] = [{"name": name, "results": [result]}]
    measured = f"on the validation videos of `{data}`, by `lsts evaluate` with the run's float32 weights"
    backbone = config.model.backbone
    network = f"ResNet-{backbone.depth}" if backbone.network == "resnet" else backbone.network
    method, _, own = config.model.temporal.rpartition(":")
    return TEXT.format(
        metadata=yaml.safe_dump(metadata, sort_keys=False),
        name=name,
        method=own if not method else f"{METHOD_FILE}:{own}",
        network=network,
        short=config.data.short_side,
        long=config.data.long_side,
        classes=", ".join(config.data.class_names),
        score="not evaluated" if score is None else f"{score:.4f} {measured}",
        step=step,
        training="\n".join(f"    {command}" for command in commands(config, name)),
    )


def measured_map(workdir: Path, step: int) -> float | None:
    """mAP of a step, from the run's last evaluation or from those during training; None if there is none."""
    texts = []
    for file in (workdir / "metrics.jsonl", workdir / "eval" / "metrics.json"):
        if file.is_file():
            text = file.read_text(encoding="utf-8", errors="replace")
            texts += text.splitlines() if file.suffix == ".jsonl" else [text]
    scores = [line["mAP"] for line in map(_parsed, texts) if line.get("step") == step and "mAP" in line]
    return float(scores[-1]) if scores else None


def commands(config: Config, name: str) -> list[str]:
    """Command lines that train a config: the package's most similar experiment, with overrides for
    the fields that differ. If no field differs, the commands in the experiment's docstring,
    which also make its data."""
    wanted, candidates = _fields(config), []
    for file in sorted(shipped().rglob("[!_]*.py")):
        try:
            fields = _fields(load_config(file))
        except UserError:
            continue
        differing = {field: value for field, value in wanted.items() if fields.get(field, ...) != value}
        candidates.append((len(differing), file, differing))
    _, file, differing = min(candidates, key=lambda candidate: candidate[:2])
    if not differing:
        return documented(file)
    experiment = file.relative_to(shipped()).with_suffix("").as_posix()
    options = [word for field, value in differing.items() for word in (f"--config.{field}", *_words(value))]
    return [shlex.join(["lsts", "train", "--config", experiment, "--workdir", f"runs/{name}", *options])]


def documented(file: Path) -> list[str]:
    """Command lines in the docstring of an experiment."""
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return [line.strip() for line in text.splitlines() if line.startswith("    ")]


def _parsed(text: str) -> dict:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _fields(config: Config) -> dict[str, Any]:
    """Values by dotted name; a temporal method of the user's own has the name of its copy in a run."""
    found = dict(leaves(config))
    if file := found["model.temporal"].rpartition(":")[0]:
        found["model.temporal"] = METHOD_FILE + found["model.temporal"].removeprefix(file)
    return found


def _words(value: Any) -> list[str]:
    if isinstance(value, tuple):
        return [word for item in value for word in _words(item)]
    return [str(value)]
