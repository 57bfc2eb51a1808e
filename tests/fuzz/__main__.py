"""Fuzz readers for as long as one likes: python -m tests.fuzz --seconds 600 [NAME ...]

With the package atheris the search is guided by coverage (libFuzzer); without it, it is random. Each reader
runs in a process of its own, which may take a GiB more than it starts with. An input that breaks a reader is
left in --out; the exit status is then 1.
"""

import argparse
import os
import random
import re
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

SPARE = 1 << 30  # bytes
HANG = 30  # seconds after which a single input is given up


def main() -> None:
    arguments = parse()
    if arguments.child:
        fuzz(arguments.names[0], arguments.seconds, arguments.out)
        return
    from tests.fuzz.targets import all_targets

    targets = all_targets()
    if unknown := set(arguments.names) - set(targets):
        sys.exit(f"{', '.join(sorted(unknown))}: choose from {', '.join(targets)}")
    guided = find_spec("atheris") is not None
    print("guided by coverage" if guided else "without coverage: pip install atheris to be guided by it")
    failed = []
    for name in arguments.names or targets:
        if not targets[name].available():
            print(f"{name}: skipped, needs {targets[name].needs}")
            continue
        if not run(name, arguments.seconds, arguments.out):
            failed.append(name)
    if failed:
        sys.exit(f"broken: {', '.join(failed)}; the inputs are in {arguments.out}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="readers; all by default")
    parser.add_argument("--seconds", type=int, default=60, help="for each")
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz"), help="for inputs that break a reader")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def run(name: str, seconds: int, out: Path) -> bool:
    """Whether the reader held."""
    out.mkdir(parents=True, exist_ok=True)
    log = out / f"{name}.log"
    command = [
        sys.executable,
        "-m",
        "tests.fuzz",
        name,
        "--seconds",
        str(seconds),
        "--out",
        str(out),
        "--child",
    ]
    environment = {"JAX_PLATFORMS": "cpu"} | os.environ
    with log.open("w") as file:
        status = subprocess.run(command, env=environment, stdout=file, stderr=file).returncode
    text = log.read_text(errors="replace")
    inputs = re.findall(r"(?:number_of_executed_units:|inputs:) *(\d+)", text)
    covered = re.findall(r"cov: (\d+)", text)
    print(
        f"{name}: {'held' if status == 0 else f'BROKEN (status {status}), see {log}'}, "
        f"{inputs[-1] if inputs else '?'} inputs" + (f", {covered[-1]} edges" if covered else ""),
        flush=True,
    )
    return status == 0


def fuzz(name: str, seconds: int, out: Path) -> None:
    try:
        import atheris
    except ImportError:
        atheris = None
        from tests.fuzz.targets import Attempts, all_targets
    else:
        with atheris.instrument_imports(include=["lsts_jax", "zipfile", "numpy.lib", "json", "tyro"]):
            from tests.fuzz.targets import Attempts, all_targets
    from tests.fuzz.mutate import mutate

    target = all_targets()[name]
    with Attempts(target) as attempt:
        for seed in target.seeds:
            attempt(seed)
        limit_memory()  # what the first calls set up, such as JAX's backend, is not counted
        if atheris:
            guided(atheris, attempt, mutate, seconds, out / name)
            return
        count, end, chance = 0, time.monotonic() + seconds, random.Random(int(time.time()))
        while time.monotonic() < end:
            data = mutate(target.seeds, chance)
            try:
                attempt(data)
            except BaseException:
                (out / f"{name}-random").write_bytes(data)
                raise
            count += 1
        print(f"inputs: {count}")


def guided(atheris, attempt, mutate, seconds: int, prefix: Path) -> None:
    target = attempt.target

    def one(data: bytes) -> None:
        attempt(data, memory=False)

    def change(data: bytes, most: int, seed: int) -> bytes:
        chance = random.Random(seed)
        if chance.random() < 0.3:
            return atheris.Mutate(data, most)
        return mutate([data or target.seeds[0], *target.seeds], chance)[:most]

    corpus = prefix.with_suffix(".corpus")
    corpus.mkdir(exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed{number}").write_bytes(seed)
    options = [
        f"-max_total_time={seconds}", f"-timeout={HANG}", "-max_len=65536", "-print_final_stats=1",
        "-rss_limit_mb=4096", f"-artifact_prefix={prefix}-", "-detect_leaks=0", str(corpus),
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options], one, custom_mutator=change)
    atheris.Fuzz()


def limit_memory() -> None:
    """An absurd length that is allocated becomes a MemoryError."""
    try:
        import resource
    except ImportError:  # Windows
        return
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + SPARE, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main()
