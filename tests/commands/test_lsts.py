"""`lsts`: every command by its name, without the imports of the others."""

import subprocess
import sys
from importlib import import_module

import pytest

import lsts_jax
from lsts_jax.commands import COMMANDS, run
from lsts_jax.errors import UserError


def test_help_lists_every_command_and_imports_none():
    code = (
        "import sys; sys.argv[1:] = ['--help']\nfrom lsts_jax.commands import main; main()\n"
        "heavy = {'jax', 'numpy', 'cv2', 'tqdm'} & sys.modules.keys()\nassert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    listed = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")]
    assert listed == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_function_run(name):
    assert callable(import_module(COMMANDS[name][0]).run)


def test_version(capsys):
    run(["--version"])
    assert capsys.readouterr().out == f"lsts {lsts_jax.__version__}\n"


def test_a_command_is_run_under_its_name(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/lsts", "predict", "--help"])
    with pytest.raises(SystemExit) as caught:
        run(["predict", "--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("usage: lsts predict ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evalute"], "lsts evalute: no such command; choose from evaluate"),
        (["--workdir", "x"], f"lsts --workdir: no such command; choose from {', '.join(COMMANDS)}"),
        (
            ["experiments", "x"],
            "lsts experiments x: no such program; choose from run, exchange, results",
        ),
    ],
)
def test_an_unknown_command_is_a_line(arguments, message):
    with pytest.raises(UserError) as caught:
        run(arguments)
    assert str(caught.value) == message
