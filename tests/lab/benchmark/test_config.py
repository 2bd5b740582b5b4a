"""What a benchmark reads of a config."""

from pathlib import Path

from cct_mm.lab.benchmark.config import load_config


def test_channels_and_stride_of_z_are_measured_where_the_config_leaves_them_out(config):
    given = load_config(config).model.auxiliary
    text = Path(config).read_text()
    for entry in ('in_channels=16,\n        stride=8,\n        perturb', 'perturb'):
        assert text.count(entry) == 1
        Path(config).write_text(text.replace(entry, 'perturb'))
        assert load_config(config).model.auxiliary == given
