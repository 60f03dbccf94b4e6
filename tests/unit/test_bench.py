"""Each line of the bench runs; how fast it is is nobody's business here."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.lines import lines
from bench.measuring import Figure, Run, of_runs, percentile

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("line", sorted(lines()))
def test_each_line_measures_something(line: str, tmp_path: Path):
    figures = tmp_path / "figures.json"
    command = ["-m", "bench", line, "--scale", "0", "--pairs", "1", "--database", "sqlite", "--json", str(figures)]
    ran = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env={**os.environ, "COLUMNS": "200"}, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = json.loads(figures.read_text())
    assert found
    assert all(one["line"] == line and one["value"] > 0 for one in found)
    assert all(one["what"] in ran.stdout for one in found)


def test_an_unknown_line_is_named():
    command = [sys.executable, "-m", "bench", "applause"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 2
    assert "no line applause; there is: accept, batches" in ran.stderr


def test_a_figure_meets_its_aim_from_the_right_side():
    assert Figure(line="x", what="x", value=0.5, aim=0.5).met
    assert not Figure(line="x", what="x", value=0.4, aim=0.5).met
    assert Figure(line="x", what="x", value=9, aim=10, better="less").met
    assert not Figure(line="x", what="x", value=11, aim=10, better="less").met
    assert Figure(line="x", what="x", value=11).met is None


def test_what_a_figure_quotes():
    figure = of_runs("x", "x", [3.0, 1.0, 2.0])
    assert (figure.value, figure.low, figure.high) == (2.0, 1.0, 3.0)
    assert [percentile([5, 1, 4, 2, 3], percent) for percent in (0, 50, 100)] == [1, 3, 5]
    run = Run(done=100, seconds=2.0, cpu_seconds=0.5)
    assert (run.per_second, run.per_cpu_second, run.cpu_ms) == (50.0, 200.0, 5.0)
