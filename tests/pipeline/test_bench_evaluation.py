"""`crface bench evaluation`: the three ways agree, and what is printed is what was measured."""

import json

import pytest

from pipeline.bench.evaluation import EvaluationBench, Timing, as_json, as_lines, bench_evaluation
from workflows.cli.main import main


def test_arrays_text_and_the_literal_form_give_one_ap(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["bench", "evaluation", "--images", "12", "--json"])
    assert ended.value.code == 0
    found = json.loads(capsys.readouterr().out)
    assert found["images"] == 12
    assert found["ground_truth"] == "generated"
    assert found["detections"] > found["faces"] > 12
    assert found["largest_difference"] < 1e-9


def test_made_up_data_has_the_size_of_the_validation_set() -> None:
    found = bench_evaluation(num_images=300)
    assert found.faces / 300 == pytest.approx(39_708 / 3226, rel=0.4)
    assert found.detections / 300 == pytest.approx(116_616 / 3226, rel=0.3)


def test_ratios_are_by_cpu_time_of_one_run() -> None:
    bench = EvaluationBench(
        images=1,
        faces=2,
        detections=3,
        ground_truth="generated",
        arrays=Timing(seconds=9.0, cpu_seconds=0.5),
        text=Timing(seconds=9.0, cpu_seconds=2.0),
        literal=Timing(seconds=60.0, cpu_seconds=50.0),
        largest_difference=0.0,
    )
    assert (bench.arrays_ratio, bench.text_ratio) == (100, 25)
    assert as_json(bench)["text_ratio"] == 25
    text = "\n".join(as_lines(bench))
    assert "100x" in text
    assert "25x" in text
    assert max(map(len, as_lines(bench))) <= 80
