"""What TensorBoard's own reader finds in the event files."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepunlearn.trackers import open_tracker
from tests.trackers.made import EVALUATION, MEASURED, SEARCH

pytestmark = pytest.mark.slow


def test_scores_curves_params_and_files_are_read_back(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    tracker = open_tracker("tensorboard", tmp_path)
    names = [tracker.begin(run) for run in (EVALUATION, SEARCH)]
    for name, run in zip(names, (EVALUATION, SEARCH), strict=True):
        tracker.write(run, name)
    tracker.write(MEASURED, names[0])
    assert names[0] == "digits/smallnet/random(ratio=0.2)/ft/seed3-0123456789abcdef"
    events = EventAccumulator(str(tmp_path / names[0])).Reload()
    scalars = {tag: [(one.step, one.value) for one in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    assert scalars == {
        "RA": [(0, 0.75)], "MIA": [(0, 0.5)], "ECE": [(0, 0.125)],
        "train/loss": [(0, 2.5), (1, 1.25)], "trial/seed0/norm": [(1, 0.5)],
    }  # fmt: skip
    summaries = events.SummaryMetadata("_hparams_/session_start_info")
    params = HParamsPluginData.FromString(summaries.plugin_data.content).session_start_info.hparams
    assert params["params.lr"].number_value == 0.01 and params["kind"].string_value == "evaluation"
    (text,) = events.Tensors("files/text_summary")
    assert text.tensor_proto.string_val == [b"- row: `/somewhere/rows/ft`"]
    assert not EventAccumulator(str(tmp_path / names[1])).Reload().Scalars("RA")[1:]
