"""Evaluates a trained detector by the official ImageNet VID metric."""

import sys
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

from lsts_jax import cli
from lsts_jax.config import Config
from lsts_jax.config_io import load_saved_config
from lsts_jax.errors import UserError
from lsts_jax.hub import CONFIG, WEIGHTS, locate


@dataclass(frozen=True)
class Options:
    """Detect on every frame of data.val_lists and compute the scores, or score files of detections.
    Writes metrics.json, detections.txt and report.html into WORKDIR/eval."""

    config: cli.Experiment
    workdir: str
    """Folder of a training run or of a published detector; hf://ORG/NAME; or synthvid-s, the detector that
    comes with the package. With --detections or --compare: any folder that can be written."""
    checkpoint: str = "latest"
    """latest, best (by mAP during training), or a step."""
    output: Path | None = None
    """Folder of the results, instead of WORKDIR/eval. Required for a detector of the package or of
    the hub."""
    detections: tuple[Path, ...] = ()
    """Files of detections to score, from any detector: ImageNet VID's text, JSON lines of
    predict.py or COCO results; or folders of such files. No picture is read. Writes into
    WORKDIR/scored."""
    compare: tuple[Path, Path] | None = None
    """Two such files or folders, A and B: mAP of B minus A by class and video, with intervals of a bootstrap
    over videos. Writes into WORKDIR/compared."""
    motion_iou: Path | None = None
    """FGFA's imagenet_vid_groundtruth_motion_iou.mat; default: motion is computed from the tracks."""
    speed: bool = True
    """Also measure the time of each step of detection, into eval/speed.json."""
    report: bool = True
    """Also write report.html, if jinja2 is installed."""
    hosts: cli.Hosts = field(default_factory=cli.Hosts)

    def folder(self, name: str) -> Path:
        """Folder of the results. Raises `UserError` if it would be in the package or in the hub's
        cache."""
        if self.output is None and locate(self.workdir) != Path(self.workdir):
            raise UserError(
                f"--output is missing: results cannot be written into {self.workdir}; name another folder"
            )
        return self.output or Path(self.workdir) / name


def run(arguments: list[str]) -> None:
    options = cli.parse(Options, arguments, run_option="--workdir")
    if options.detections and options.compare:
        raise UserError("--detections and --compare: give one of them")
    if options.detections or options.compare:
        score_files(options)
    else:
        evaluate_detector(options)


def evaluate_detector(options: Options) -> None:
    cli.prepare_jax(options.hosts)
    from lsts_jax.parallel import is_first
    from lsts_jax.training.checkpoints import require_checkpoints
    from lsts_jax.training.interruption import only_process

    run = locate(options.workdir)
    if not (run / WEIGHTS).is_file():
        require_checkpoints(run)  # before any folder is made: WORKDIR may be a typing error
    config, folder = with_class_names(options), options.folder("eval")
    if is_first():
        _make_folder(folder)
    with only_process(folder) if is_first() else nullcontext():
        evaluate_checkpoint(options, config, folder)


def evaluate_checkpoint(options: Options, config: Config, folder: Path) -> None:
    from lsts_jax.data.open import open_dataset
    from lsts_jax.evaluation.results import REPORT, SPEED, write_json
    from lsts_jax.evaluation.runner import evaluate, table
    from lsts_jax.evaluation.speed import measure_speed, speed_table
    from lsts_jax.parallel import is_first
    from lsts_jax.training.pretrained.published import load_trained

    dataset = open_dataset(config.data, config.data.val_lists)
    config, detector, variables, step = load_trained(options.workdir, options.checkpoint, config)
    about = {"step": step, "checkpoint": options.checkpoint, "motion_file": options.motion_iou}
    evaluated = evaluate(detector, variables, config, dataset, folder, **about)
    if not is_first():
        return
    metrics = evaluated.metrics
    print(table(metrics))
    if metrics["fps"]:
        print(f"{metrics['fps']:.1f} frames per second, end to end: decoding, inference and NMS, overlapped")
    if options.speed:
        speed = measure_speed(detector, variables, config, dataset)
        write_json(folder / SPEED, speed)
        print(speed_table(speed))
    if wants_report(options):
        from lsts_jax.evaluation.inside import look_inside
        from lsts_jax.evaluation.report import Run, write_report
        from lsts_jax.training.state import initial_offsets

        initial = initial_offsets(detector, config)
        learned = look_inside(detector, variables, config, dataset, evaluated.truth, initial)
        name = Path(options.workdir).resolve().name
        write_report(
            folder / REPORT,
            title=name,
            dataset=dataset,
            truth=evaluated.truth,
            run=Run(name, evaluated.detections, metrics),
            learned=learned,
        )
    print(f"step {step}, {metrics['frames']} frames: {folder}", file=sys.stderr)


def score_files(options: Options) -> None:
    from lsts_jax.data.open import open_dataset
    from lsts_jax.evaluation.results import METRICS, REPORT, remove_results, write_json
    from lsts_jax.evaluation.runner import refine, table
    from lsts_jax.evaluation.scoring import read_truth, score_all
    from lsts_jax.evaluation.submissions import read_detections

    config = options.config
    if not config.data.class_names and (locate(options.workdir) / CONFIG).exists():
        config = with_class_names(options)
    dataset = open_dataset(config.data, config.data.val_lists)
    truth, names = read_truth(dataset, options.motion_iou), dataset.class_names

    def read(paths):
        return refine(read_detections(paths, dataset), truth, config, len(names))

    if options.compare:
        compare_files(options, options.compare, dataset, truth, *(read([path]) for path in options.compare))
        return
    found, folder = read(options.detections), _make_folder(options.folder("scored"))
    metrics = score_all(truth, found, names)
    metrics |= {"frames": len(set(dataset.samples)), "detections": len(found.frame)}
    remove_results(folder, options.detections)
    write_json(folder / METRICS, metrics)
    print(table(metrics))
    if wants_report(options):
        from lsts_jax.evaluation.report import Run, write_report

        name = options.detections[0].name
        run = Run(name, found, metrics)
        about = {"title": name, "dataset": dataset, "truth": truth, "run": run}
        write_report(folder / REPORT, **about, pictures=False)
    print(f"{metrics['detections']} detections in {metrics['frames']} frames: {folder}", file=sys.stderr)


def compare_files(options: Options, files: tuple[Path, Path], dataset, truth, a, b) -> None:
    """Compares B with A, prints the table and writes comparison.json and the report."""
    from lsts_jax.evaluation.compare import compare, table
    from lsts_jax.evaluation.results import COMPARISON, REPORT, remove_results, write_json
    from lsts_jax.evaluation.scoring import score_all

    names, sides = dataset.class_names, short_names(*files)
    videos, folder = [video.name for video in dataset.videos], _make_folder(options.folder("compared"))
    found = compare(truth.annotations, a, b, names, truth.video_of_frame, tuple(videos))
    remove_results(folder, files)
    write_json(folder / COMPARISON, found.as_dict(sides))
    print(table(found, sides))
    if wants_report(options):
        from lsts_jax.evaluation.report import Run, write_report

        baseline, run = (
            Run(name, side, score_all(truth, side, names)) for name, side in zip(sides, (a, b), strict=True)
        )
        about = {"title": f"{sides[1]} against {sides[0]}", "dataset": dataset, "truth": truth, "run": run}
        write_report(folder / REPORT, **about, baseline=baseline, compared=found)
    print(folder, file=sys.stderr)


def _make_folder(path: Path) -> Path:
    return cli.make_folder(path, option="--output FOLDER")


def short_names(a: Path, b: Path) -> tuple[str, str]:
    """The last components in which two paths differ: one component, or two for runs/one/eval/x and
    runs/two/eval/x."""
    for pair in zip(reversed(a.resolve().parts), reversed(b.resolve().parts), strict=False):
        if pair[0] != pair[1]:
            return pair
    return "A", "B"


def wants_report(options: Options) -> bool:
    if options.report and not find_spec("jinja2"):
        print('no report.html: jinja2 is not installed; pip install "lsts_jax[report]"', file=sys.stderr)
        return False
    return options.report


def with_class_names(options: Options) -> Config:
    """The config with the class names of the detector, in the detector's order.

    Raises `UserError` if the config has other class names or another order.
    """
    config, saved = options.config, locate(options.workdir) / CONFIG
    if not saved.exists() and config.data.class_names:
        return config
    names = load_saved_config(saved).data.class_names
    if config.data.class_names and config.data.class_names != names:
        raise UserError(
            f"config.data.class_names: {options.workdir} was trained on {' '.join(names)}, in this order; "
            "give the same, or none"
        )
    return replace(config, data=replace(config.data, class_names=names))
